//! What the program promises on one node, without a launcher. Runs also where it was built without MPI.

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod attempts;
mod bad_input;
mod command_line;
mod disk;
mod docs;
mod ends;
mod halt;
mod handlers;
mod ini_rules;
mod installed;
mod job_end;
mod joblog;
mod journal;
mod judged;
mod launchers;
mod leftovers;
mod lock;
mod log_trouble;
mod logs;
mod mixed;
mod moments;
mod names;
mod owners;
mod poison;
mod printed;
mod progress;
mod pytaskfarmer;
mod refused;
mod resume;
mod retries;
mod retry_failed;
mod runners;
mod scripts;
mod shell_rules;
mod starters;
mod status;
mod stubborn;
mod tasklist;
mod world;
