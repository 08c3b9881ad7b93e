-- KEYS: lease, watermark   ARGV: token, ttl_ms, prefix of one's own epochs
-- Answers 'token|epoch', or nil where somebody else holds it, or a worker with other settings keeps the partition.
local held = redis.call('GET', KEYS[1])
-- One's own already, where the client lost the answer and asks again.
if held then return string.match(held, '^[^|]*') == ARGV[1] and held end
local watermark = redis.call('GET', KEYS[2])
local epoch = watermark and string.match(watermark, '^([^|]+)|') or ''
if epoch ~= '' and string.sub(epoch, 1, #ARGV[3]) ~= ARGV[3] then return false end
local lease = ARGV[1] .. '|' .. epoch
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
