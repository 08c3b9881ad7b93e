-- KEYS: shares, log, log, ...   ARGV: group, member, job, offset, job, offset, ...: for each log, up to where it is done
-- Answers the jobs that are not the member's any more; their offsets stay as they are.
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
