#!lua name=flux_gate
--
-- The gate of one product, in one step over all nodes.
--
-- It proposes and never decides: what is forged or lost here costs proposals that the log refuses, or a
-- second until nodes level it again.
--
-- Keys (one hash slot a product; the braces are literal):
--   product:{id}:stock    string  units free now: remaining - undecided, at least 0
--   product:{id}:pending  zset    buyer (32 hex digits) -> when its undecided attempt stops counting
--   rate:{id}:tat         zset    p | a:<address> | f:<fingerprint> | b:<buyer> -> theoretical arrival time
--   product:{id}:level    string  offset:remaining of the last level; expires after LEVEL_TTL_MS
-- Times are whole microseconds since 1970 by this server's clock; doubles hold them exactly.
--
-- Commands in a function run with the caller's rights. Whoever calls these three needs FCALL and
--   TIME GET SET PTTL DECR ZADD ZMSCORE ZREM ZCARD ZREMRANGEBYSCORE
--
-- Any change raises VERSION (see library.rs); later versions still serve the callers of earlier ones.

local VERSION = 2
local PENDING_LIFETIME_US = 12000000
local LEVEL_TTL_MS = 2000
local UNITS_MAX = 4294967295
local ARGUMENTS_MAX = 1000

-- What fg_admit answers: one of these + 8 * (microseconds until it would conform, if over a rate).
local GO, NO_UNIT, UNDECIDED, UNLEVELLED = 0, 1, 2, 3
local OVER = { p = 4, a = 5, f = 6, b = 7 }

local function now_us(args)
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The units that are free, or nil if the hint is missing or nothing that we wrote.
local function free_units(key)
  local stock = redis.pcall('GET', key)
  if type(stock) ~= 'string' or #stock > 10 or not stock:find('^%-?%d+$') then
    return nil
  end
  return tonumber(stock)
end

-- fg_admit: asks for a unit. Everything is checked before anything is written; a refusal writes nothing.
-- KEYS  1 stock  2 pending  3 tat
-- ARGV  1 buyer, then of each rate that holds: member of tat, interval (us), interval * burst (us)
local function admit(keys, args)
  local now = now_us(args)
  local free = free_units(keys[1])
  if not free then
    return UNLEVELLED
  end
  if free < 1 then
    return NO_UNIT
  end

  local members = {}
  for i = 2, #args, 3 do
    members[#members + 1] = args[i]
  end
  local charges = {}
  if #members > 0 then
    local tats = redis.pcall('ZMSCORE', keys[3], unpack(members))
    if tats.err then
      return UNLEVELLED
    end
    local over, wait = nil, 0
    for i, member in ipairs(members) do
      -- gcra.rs, line by line.
      local interval, window = tonumber(args[3 * i]), tonumber(args[3 * i + 1])
      local furthest = now + window
      local tat = math.min(math.max(tonumber(tats[i]) or 0, now), furthest) + interval
      if tat - furthest > wait then
        over, wait = member, tat - furthest
      end
      charges[2 * i - 1], charges[2 * i] = tat, member
    end
    if over then
      return OVER[over:sub(1, 1)] + 8 * wait
    end
  end

  -- NX makes the last check and the first write one: with an undecided attempt it writes nothing.
  local added = redis.pcall('ZADD', keys[2], 'NX', now + PENDING_LIFETIME_US, args[1])
  if added == 0 then
    return UNDECIDED
  elseif added ~= 1 then
    return UNLEVELLED
  end
  if #charges > 0 then
    redis.call('ZADD', keys[3], unpack(charges))
  end
  redis.call('DECR', keys[1])
  return GO
end

-- Takes out what is over, and what no caller of ours can have put so far ahead. A key of another kind was
-- forged; it goes by an expiry in the past, since callers hold no DEL.
local function prune(key, now, furthest)
  if type(redis.pcall('ZREMRANGEBYSCORE', key, '-inf', now)) == 'table' then
    redis.call('SET', key, '', 'PXAT', 1)
  end
  redis.call('ZREMRANGEBYSCORE', key, string.format('(%.0f', furthest), '+inf')
end

-- The stored level, if it is younger than LEVEL_TTL_MS and by our hand, as far as can be told: one that
-- stays for longer was forged.
local function stored_level(key)
  local ttl = redis.call('PTTL', key)
  local level = redis.pcall('GET', key)
  if type(level) ~= 'string' or ttl < 0 or ttl > LEVEL_TTL_MS then
    return nil
  end
  local offset, remaining = level:match('^(%d+):(%d+)$')
  return tonumber(offset), tonumber(remaining)
end

-- fg_level: takes out the attempts that are decided, over or forged, and levels the hint from what remains
-- as of the highest offset known.
-- KEYS  1 stock  2 pending  3 tat  4 level
-- ARGV  1 offset  2 remaining as of it  3 longest interval * burst (us), then buyers whose attempt is decided
-- Answer: the hint, the hint before (-1: none), 1 if this offset counted and 0 if a higher one did
local function level(keys, args)
  local now = now_us(args)
  prune(keys[2], now, now + PENDING_LIFETIME_US)
  prune(keys[3], now, now + tonumber(args[3]))
  for first = 4, #args, ARGUMENTS_MAX do
    redis.call('ZREM', keys[2], unpack(args, first, math.min(first + ARGUMENTS_MAX - 1, #args)))
  end

  local counted, remaining = 1, tonumber(args[2])
  local stored_offset, stored_remaining = stored_level(keys[4])
  if stored_offset and stored_offset > tonumber(args[1]) then
    counted, remaining = 0, math.min(stored_remaining, UNITS_MAX)
  else
    redis.call('SET', keys[4], args[1] .. ':' .. args[2], 'PX', LEVEL_TTL_MS)
  end
  local before = free_units(keys[1])
  local hint = math.max(remaining - redis.call('ZCARD', keys[2]), 0)
  redis.call('SET', keys[1], hint)
  return { hint, before or -1, counted }
end

-- fg_version: which library this is. No keys, no arguments.
local function version()
  return VERSION
end

redis.register_function('fg_admit', admit)
-- When memory is full this one must still run: it makes room.
redis.register_function({ function_name = 'fg_level', callback = level, flags = { 'allow-oom' } })
redis.register_function({ function_name = 'fg_version', callback = version, flags = { 'no-writes' } })
