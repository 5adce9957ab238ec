-- Of each batch, does all steps, or none where one is over its limit: what a Store's apply() says.
--
-- KEYS: the one that says which life of the server this is; then one a step, batch after batch. ARGV: what
-- the first is to hold; the time in microseconds, or "" for the server's own; how many seconds a key
-- without an end outlives its last use; and in JSON the batches: five fields a step, false where there is
-- nothing:
--   count:  "c", by,     limit, life in us,  true where it is never below 0
--   window: "w", by,     limit, slice in us, age in us
--   lease:  "l", holder, limit, life in us,  true to give back
--   mark:   "m", value,  false, life in us,  true to take away
-- Returns JSON, which is read sooner than as many numbers of the protocol: for each batch a list of the
-- refused step (from 0; -1: none), the wait in us (-1: none), then value and end in us (-1: none) of each
-- step. Returns "", and does nothing, in another life.
--
-- Counts, windows and marks are read once, changed here, and written when all steps have passed. Leases
-- may hold many places and are changed in place; `undo` takes that back.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '' end

local SLICES, SLACK_MS = 60, 1000

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local idle_ms = tonumber(ARGV[3]) * 1000
local opened, undo -- of the batch

local function text(number)
  return string.format('%.0f', number)
end

local function slice_at(time, slice)
  return (time - math.fmod(time, slice)) / slice
end

local function expire(key, till)
  local ms = till and math.ceil((till - now) / 1000) + SLACK_MS or idle_ms
  redis.call('PEXPIRE', key, text(math.max(ms, 1)))
end

-- A value and its end in one string: counts and marks.

local function read_pair(key)
  local found = redis.call('GET', key)
  if not found then return {value = 0} end
  local value, till = string.match(found, '^(%S+) (%S+)$')
  local one = {exists = true, value = tonumber(value), till = tonumber(till)}
  if one.till and one.till <= now then return {value = 0} end
  return one
end

local function write_pair(key, one)
  if one.is_changed then
    if one.value == 0 and not (one.exists and one.till) then
      redis.call('DEL', key)
      return
    end
    redis.call('SET', key, text(one.value) .. ' ' .. (one.till and text(one.till) or '-'))
    expire(key, one.till)
  elseif one.exists and not one.till then
    expire(key)
  end
end

local function look_pair(_, one)
  return one.value, one.till
end

local count = {open = read_pair, save = write_pair, look = look_pair}

function count.take(_, one, step)
  local by = step[2]
  local value = one.value + by
  if step[3] and by >= 0 and value > step[3] then return false end
  if step[5] and value < 0 then value = 0 end
  if by ~= 0 and (one.exists or value ~= 0 or not step[5]) then
    if not one.exists and step[4] then one.till = now + step[4] end
    one.exists, one.is_changed, one.value = true, true, value
  end
  return true
end

local mark = {open = read_pair, save = write_pair, look = look_pair}

function mark.take(_, one, step)
  local value = step[2]
  if step[5] then
    one.exists, one.is_changed, one.value, one.till = false, true, 0, nil
  elseif value ~= 0 then
    local till = step[4] and now + step[4] or nil
    local stands_longer = one.exists and till and (not one.till or one.till > till)
    if not stands_longer then
      one.exists, one.is_changed, one.value, one.till = true, true, value, till
    end
  end
  return true
end

-- A hash of what was added in each slice.

local window = {}

function window.open(key, step)
  local one = {amounts = {}, changed = {}, total = 0, slice = step[4]}
  one.current = slice_at(now, one.slice)
  local found = redis.call('HGETALL', key)
  for i = 1, #found, 2 do
    local at, amount = tonumber(found[i]), tonumber(found[i + 1])
    if at <= one.current - SLICES - 1 then
      one.changed[at] = true
    else
      if at > one.current then -- the clock went back
        one.changed[at], one.changed[one.current], one.is_changed = true, true, true
        at = one.current
      end
      one.amounts[at] = (one.amounts[at] or 0) + amount
      one.total = one.total + amount
    end
  end
  return one
end

local function add(one, at, by)
  local amount = (one.amounts[at] or 0) + by
  one.amounts[at] = amount ~= 0 and amount or nil
  one.changed[at], one.is_changed = true, true
  one.total = one.total + by
end

local function in_order(one)
  local slices = {}
  for at in pairs(one.amounts) do slices[#slices + 1] = at end
  table.sort(slices)
  return slices
end

function window.take(_, one, step)
  local by, age = step[2], step[5]
  local since = age and math.min(slice_at(math.max(now - age, 0), one.slice), one.current)
  if since and since <= one.current - SLICES - 1 then return true end
  if by >= 0 then
    if step[3] and one.total + by > step[3] then return false end
    if by > 0 then add(one, since or one.current, by) end
    return true
  end
  since = since or 0
  for _, at in ipairs(in_order(one)) do
    if at >= since and by < 0 then
      local given = math.min(-by, one.amounts[at])
      add(one, at, -given)
      by = by + given
    end
  end
  return true
end

function window.look(_, one)
  local newest
  for at in pairs(one.amounts) do newest = math.max(newest or at, at) end
  return one.total, newest and (newest + SLICES + 1) * one.slice
end

function window.save(key, one)
  if not one.is_changed then return end
  for at in pairs(one.changed) do
    if one.amounts[at] then
      redis.call('HSET', key, text(at), text(one.amounts[at]))
    else
      redis.call('HDEL', key, text(at))
    end
  end
  local _, till = window.look(key, one)
  if till then expire(key, till) end
end

function window.wait(one, wanted, limit)
  if wanted > limit then return -1 end
  local left, till = one.total, now
  for _, at in ipairs(in_order(one)) do
    if left + wanted <= limit then break end
    left = left - one.amounts[at]
    till = (at + SLICES + 1) * one.slice
  end
  return till - now
end

-- A sorted set of holders by the end of their places.

local lease = {}

function lease.open(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  return {}
end

function lease.take(key, _, step)
  local holder = step[2]
  local before = redis.call('ZSCORE', key, holder)
  if step[5] then
    redis.call('ZREM', key, holder)
  elseif not before and step[3] and redis.call('ZCARD', key) >= step[3] then
    return false
  else
    redis.call('ZADD', key, text(now + step[4]), holder)
  end
  if before then
    undo[#undo + 1] = {'ZADD', key, text(tonumber(before)), holder}
  else
    undo[#undo + 1] = {'ZREM', key, holder}
  end
  return true
end

function lease.look(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return redis.call('ZCARD', key), tonumber(first[2])
end

function lease.save(key)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if last[2] then expire(key, tonumber(last[2])) end
end

local KINDS = {c = count, w = window, l = lease, m = mark}

local function open(key, step)
  if not opened[key] then opened[key] = step.kind.open(key, step) end
  return opened[key]
end

local function apply(steps)
  local answer = {-1, -1}
  opened, undo = {}, {}

  local function look(at, step)
    local value, till = step.kind.look(step.key, open(step.key, step))
    answer[1 + 2 * at] = text(value)
    answer[2 + 2 * at] = till and text(till - now) or -1
  end

  local refused
  for at, step in ipairs(steps) do
    if not step.kind.take(step.key, open(step.key, step), step) then
      refused = at
      break
    end
    look(at, step)
  end
  if refused then
    local step = steps[refused]
    local tried = opened[step.key]
    opened = {}
    for at = #undo, 1, -1 do redis.call(unpack(undo[at])) end
    for at, one in ipairs(steps) do look(at, one) end
    answer[1] = refused - 1
    if step.kind == window then
      local one = open(step.key, step)
      answer[2] = text(window.wait(one, tried.total - one.total + step[2], step[3]))
    end
  end
  for _, step in ipairs(steps) do -- what was refused is as it was read
    if opened[step.key] then
      step.kind.save(step.key, opened[step.key])
      opened[step.key] = nil
    end
  end
  return '[' .. table.concat(answer, ',') .. ']'
end

local answers, last = {}, 1
for number, steps in ipairs(cjson.decode(ARGV[4])) do
  for _, step in ipairs(steps) do
    last = last + 1
    step.key, step.kind = KEYS[last], KINDS[step[1]]
  end
  answers[number] = apply(steps)
end
return '[' .. table.concat(answers, ',') .. ']'
