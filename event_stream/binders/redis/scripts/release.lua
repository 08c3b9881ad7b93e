-- Releases the jobs that are still the member's, so that others can claim them at once.
-- KEYS: shares   ARGV: group, member, 1 where it leaves the group, job, job, ...
local shares, group, member = KEYS[1], ARGV[1], ARGV[2]
if redis.call('EXISTS', shares) == 0 then return end
for i = 4, #ARGV do
  local job = ARGV[i]
  if redis.call('XPENDING', shares, group, job, job, 1, member)[1] then
    redis.call('XACK', shares, group, job)
    redis.call('XDEL', shares, job)
    local newest = redis.call('XINFO', 'STREAM', shares)
    local of = {}
    for n = 1, #newest, 2 do of[newest[n]] = newest[n + 1] end
    local generation = tonumber(string.match(of['last-generated-id'], '^%d+')) + 1
    local partition = string.match(job, '%d+$')
    redis.call('XADD', shares, string.format('%.0f-', generation) .. partition, 'partition', partition)
  end
end
if ARGV[3] == '1' and #redis.call('XPENDING', shares, group, '-', '+', 1, member) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', shares, group, member)
end
