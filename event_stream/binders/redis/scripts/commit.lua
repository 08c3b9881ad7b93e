-- Commits the offsets of the partitions that the member still has.
-- KEYS: shares, log, log, ...   ARGV: group, member, job, offset, job, offset, ...: the last handled offset of each log
-- Returns the jobs that the member no longer has; their offsets stay unchanged.
local group, member, lost = ARGV[1], ARGV[2], {}
local there = redis.call('EXISTS', KEYS[1]) == 1
for i = 2, #KEYS do
  local job, id = ARGV[2 * i - 1], ARGV[2 * i] .. '-0'
  if there and redis.call('XPENDING', KEYS[1], group, job, job, 1, member)[1] then
    if redis.pcall('XGROUP', 'SETID', KEYS[i], group, id)['err'] then
      redis.call('XGROUP', 'CREATE', KEYS[i], group, id, 'MKSTREAM')
    end
  else
    lost[#lost + 1] = job
  end
end
return lost
