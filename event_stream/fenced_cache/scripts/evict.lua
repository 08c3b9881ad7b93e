-- Events whose ids have their home here, but which lie on another partition of the log: the watermark stays.
-- KEYS: entry, lease, entry, lease, ...   ARGV: floor_ms, version, version, ...
for i = 2, #ARGV do
  evict(KEYS[2 * i - 3], KEYS[2 * i - 2], ARGV[i], ARGV[1])
end
