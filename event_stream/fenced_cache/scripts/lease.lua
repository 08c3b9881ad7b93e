-- KEYS: lease, watermark   ARGV: token, ttl_ms   Answers 'token|epoch', or nil where somebody else holds it.
local held = redis.call('GET', KEYS[1])
-- One's own already, where the client lost the answer and asks again.
if held then return string.match(held, '^[^|]*') == ARGV[1] and held end
local watermark = redis.call('GET', KEYS[2])
local lease = ARGV[1] .. '|' .. (watermark and string.match(watermark, '^([^|]+)|') or '')
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
