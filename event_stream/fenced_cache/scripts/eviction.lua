-- One event's effect on one entry; in front of the scripts that evict. `version` is '' for an event that has none.
-- An absent entry ('A') counts as no entry: its version is a clock, which a transaction that was open at the time may
-- fall behind, so it proves nothing about any event.
local function evict(entry, lease, version, floor_ms)
  -- Always: an answer that is under way may be older than the event.
  redis.call('DEL', lease)
  local held = string.match(redis.call('GETRANGE', entry, 0, 17), '^[VT]|(%d+)')
  if version == '' then
    version = held
  elseif held and tonumber(held) >= tonumber(version) then
    return
  end
  if version then
    redis.call('SET', entry, 'T|' .. version, 'PX', floor_ms)
  else
    redis.call('DEL', entry)
  end
end
