-- Renews the session of a busy member. Its partitions stay the same.
-- KEYS: shares   ARGV: group, member, session_ms
if redis.call('EXISTS', KEYS[1]) == 0 then return end
local claim = {'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, '0-0'}
for _, job in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])) do
  claim[#claim + 1] = job[1]
end
claim[#claim + 1] = 'JUSTID'
redis.call(unpack(claim))
