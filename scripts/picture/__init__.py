"""Pictures of terminal sessions and timelines. Start it by `scripts/pictures`."""
