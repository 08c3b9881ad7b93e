-- Deletes records that are older than the retention and that no group needs. The newest record stays, because the next
-- offset depends on it.
local EVERY_US = 1000000

local function needed_from(topic, log, from, now)
  -- Ignore groups that had no member for long.
  local silent = tonumber(redis.call('HGET', topic, 'group_retention_ms'))
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', log)) do
    local of = {}
    for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
    local seen = tonumber(redis.call('HGET', topic, 'seen:' .. of['name']) or 0)
    if now / 1000 - seen <= silent then
      from = math.min(from, tonumber(string.match(of['last-delivered-id'], '^%d+')) + 1)
    end
  end
  return from
end

local function trim(topic, log, partition, retention_ms, now)
  redis.call('HSET', topic, 'trim_at:' .. partition, string.format('%.0f', now + EVERY_US))
  local from = now - retention_ms * 1000
  if redis.call('HGET', topic, 'keep_unread') == '1' then from = needed_from(topic, log, from, now) end
  local last = redis.call('XREVRANGE', log, string.format('(%.0f', from), '-', 'COUNT', 1)[1]
  if not last then return end
  local start = string.format('%.0f', tonumber(string.match(last[1], '^%d+')) + 1)
  redis.call('XTRIM', log, 'MINID', start)
  redis.call('HSET', topic, 'start:' .. partition, start)
end
