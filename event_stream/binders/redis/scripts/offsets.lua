-- KEYS: topic, log, log, ...   ARGV: group, partition, partition, ...
-- Returns for each log {its start, its newest id, the group's committed id}, with '' for none; false where the
-- destination is missing.
local answer = {}
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
for i = 2, #KEYS do
  local newest = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', 1)[1]
  local done = ''
  if redis.call('EXISTS', KEYS[i]) == 1 then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[i])) do
      local of = {}
      for n = 1, #group, 2 do of[group[n]] = group[n + 1] end
      if of['name'] == ARGV[1] and of['last-delivered-id'] ~= '0-0' then done = of['last-delivered-id'] end
    end
  end
  answer[i - 1] = {redis.call('HGET', KEYS[1], 'start:' .. ARGV[i]) or '', newest and newest[1] or '', done}
end
return answer
