-- Renews the session of a member, and claims its share of the partitions. Partitions are jobs in a stream: a free job is
-- undelivered, a claimed job is pending for its member, and becomes idle when the member sends no more heartbeats.
-- KEYS: topic, shares, log, log, ...   ARGV: group, member, session_ms
-- Returns {its jobs, its fair share}; false where the destination is missing or has another number of partitions.
local topic, shares, group, member, session_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local partitions = #KEYS - 2
if redis.call('HGET', topic, 'partitions') ~= tostring(partitions) then return false end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('EXISTS', shares) == 0 then
  redis.call('XGROUP', 'CREATE', shares, group, '0', 'MKSTREAM')
  -- A new job never has the name of an old one, so that the holder of an old one sees that it is gone.
  local generation = string.format('%.0f-', now_ms)
  for partition = 0, partitions - 1 do redis.call('XADD', shares, generation .. partition, 'partition', partition) end
end
if now_ms - tonumber(redis.call('HGET', topic, 'seen:' .. group) or 0) > 60000 then
  -- The log keeps unread records for the group. An error means that the log knows the group already.
  for i = 3, #KEYS do redis.pcall('XGROUP', 'CREATE', KEYS[i], group, '0', 'MKSTREAM') end
  redis.call('HSET', topic, 'seen:' .. group, string.format('%.0f', now_ms))
end

-- 0-0 is not a job; it makes Redis register a member that has no job.
local claim, jobs = {'XCLAIM', shares, group, member, 0, '0-0'}, {}
for _, job in ipairs(redis.call('XPENDING', shares, group, '-', '+', partitions, member)) do
  jobs[#jobs + 1] = job[1]
  claim[#claim + 1] = job[1]
end
claim[#claim + 1] = 'JUSTID'
redis.call(unpack(claim))

local members = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', shares, group)) do
  local of = {}
  for i = 1, #consumer, 2 do of[consumer[i]] = consumer[i + 1] end
  if of['idle'] < session_ms then
    members[#members + 1] = of['name']
  elseif of['pending'] == 0 then
    redis.call('XGROUP', 'DELCONSUMER', shares, group, of['name'])
  end
end
table.sort(members)
local share = math.floor(partitions / #members)
for place = 1, partitions % #members do
  if members[place] == member then share = share + 1 end
end

if #jobs < share then
  local free = redis.call('XREADGROUP', 'GROUP', group, member, 'COUNT', share - #jobs, 'STREAMS', shares, '>')
  for _, job in ipairs(free and free[1][2] or {}) do jobs[#jobs + 1] = job[1] end
end
local cursor = '0-0'
while #jobs < share do
  local claimed =
    redis.call('XAUTOCLAIM', shares, group, member, session_ms, cursor, 'COUNT', share - #jobs, 'JUSTID')
  for _, job in ipairs(claimed[2]) do jobs[#jobs + 1] = job end
  cursor = claimed[1]
  if cursor == '0-0' then break end
end
return {jobs, share}
