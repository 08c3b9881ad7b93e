-- A batch of one partition: its evictions, and the watermark that says they are done.
-- KEYS: watermark, entry, lease, entry, lease, ...
-- ARGV: previous_offset, last, as_of_ms, new_epoch, floor_ms, version, version, ...
-- Answers {1, epoch}, or {0, offset} where the watermark is not at the previous offset and nothing was done, or {-1, epoch}
-- where the epoch was begun under other settings: those of new_epoch stand before its dot.
local epoch, offset, as_of = string.match(redis.call('GET', KEYS[1]) or '', '^([^|]+)|(-?%d+)|(%d+)$')
if not epoch then
  -- Forgotten, and with it what came before: nothing filled under an older epoch is vouched for again.
  epoch, offset, as_of = ARGV[4], ARGV[1], '0'
end
local own = string.match(ARGV[4], '^[^.]*%.')
if string.sub(epoch, 1, #own) ~= own then return {-1, epoch} end
if offset ~= ARGV[1] then return {0, offset} end
for i = 6, #ARGV do
  evict(KEYS[2 * i - 10], KEYS[2 * i - 9], ARGV[i], ARGV[5])
end
if tonumber(ARGV[3]) > tonumber(as_of) then as_of = ARGV[3] end
redis.call('SET', KEYS[1], epoch .. '|' .. ARGV[2] .. '|' .. as_of)
return {1, epoch}
