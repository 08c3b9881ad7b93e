-- KEYS: watermark   ARGV: 'epoch|offset' that it must have now ('' for none), new epoch, offset.   Answers 1, or 0 where it had another.
local epoch, offset = string.match(redis.call('GET', KEYS[1]) or '', '^([^|]+)|(-?%d+)|%d+$')
if (epoch and epoch .. '|' .. offset or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. '|' .. ARGV[3] .. '|0')
return 1
