-- KEYS: lease   ARGV: lease   Gives up one's own lease, so that nobody waits for an answer that will not come.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
