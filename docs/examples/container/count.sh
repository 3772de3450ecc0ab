# In the container: prints the most frequent word of a file, and how often it is there.
# Usage: count.sh FILE
tr -cs 'A-Za-z' '\n' < "$1" | tr 'A-Z' 'a-z' | sort | uniq -c | sort -k 1,1nr -k 2 | head -n "$WORDS" | sed 's/^ *//'
