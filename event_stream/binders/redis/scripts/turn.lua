-- A member says that it is there, and is told which partitions it has. Partitions are jobs in a stream: what nobody has is
-- undelivered there, what a member has is pending for it, and grows idle once the member does not come by any more.
-- KEYS: topic, shares, log, log, ...   ARGV: group, member, session_ms
-- Answers {its jobs, how many it should have}; false where the destination is not there or has other partitions.
local topic, shares, group, member, session_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local partitions = #KEYS - 2
if redis.call('HGET', topic, 'partitions') ~= tostring(partitions) then return false end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('EXISTS', shares) == 0 then
  redis.call('XGROUP', 'CREATE', shares, group, '0', 'MKSTREAM')
  -- No job is ever called like one before it: who has had that one is to see that it is gone.
  local generation = string.format('%.0f-', now_ms)
  for partition = 0, partitions - 1 do redis.call('XADD', shares, generation .. partition, 'partition', partition) end
end
if now_ms - tonumber(redis.call('HGET', topic, 'seen:' .. group) or 0) > 60000 then
  -- The log keeps for the group what it has not read. An error says that the log knows the group already.
  for i = 3, #KEYS do redis.pcall('XGROUP', 'CREATE', KEYS[i], group, '0', 'MKSTREAM') end
  redis.call('HSET', topic, 'seen:' .. group, string.format('%.0f', now_ms))
end

-- 0-0 is no job: naming one lets the member be seen, and it may have none.
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
