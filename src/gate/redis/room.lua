--
-- The waiting room of one product, in one step over all nodes.
--
-- Nodes decide and Redis counts: a node says who is let in, and its decision is taken only if nobody has decided
-- since (the head is still the one that it looked at), within the rate by this server's clock and the units left.
-- What decides about a place bears a node's MAC: the cards, the head, the draw, its public value. What does not
-- is a hint, as above.
--
-- Keys (one hash slot a product; the braces are literal). They go ROOM_TTL_MS after the last ticket or admission.
--   room:{id}:book      hash   next, drawn, head, draw, value, bound, total, since, looked, credit, credited,
--                              level, freed: see open_book
--   room:{id}:cards     hash   number -> when it was given (8 bytes), buyer (16), and once its number is known a MAC (16)
--   room:{id}:states    hash   number -> w<last heard of> | a<admitted until> | s (spent) | p (passed over)
--   room:{id}:buyers    hash   buyer (16 bytes) -> number of the latest place
--   room:{id}:admitted  zset   number -> when its admission stops counting
-- Times are whole milliseconds since 1970 by this server's clock.
--
-- Every function takes these five keys in this order, and as ARGV 1 to 7 what the calling node knows: next, head,
-- draw, value, and which head, draw and value it has found to be forged. What is missing, behind or forged is put
-- right from it, so a Redis that was emptied goes on where the nodes are. Every answer ends with the book.
--
-- Whoever calls these needs, beside the above: HGET HMGET HSET HDEL PEXPIRE

local ROOM_TTL_MS = 604800000
local LAPSE_GRACE_MS = 2000
-- Whoever looks comes ten times a second; after a longer silence nobody could be heard.
local SILENCE_MS_MAX = 2000
local ROOM_LEVEL_MS_MAX = 2000
local FREED_MAX = 512
-- A number that is taken already is passed over, so often: the next one was put back.
local TAKEN_MAX = 100
-- How long a node may take from a place to its card.
local UNBOUND_MS_MAX = 1000
local CARD_BYTES = 40
local NUMBER_MAX = 9007199254740991

local ROOM_FIELDS = { 'next', 'drawn', 'head', 'draw', 'value', 'bound', 'total', 'since', 'looked', 'credit',
  'credited', 'level', 'freed' }

local function number_before_colon(text)
  return tonumber(text:match('^(%d+):')) or 0
end

-- The book, with what the caller knows:
--   next      the number of the next ticket       drawn     how many were here at the opening; nil before it
--   head      "<next place to serve>:<MAC>"       draw      "<drawn>:<root>:<MAC>", once the draw is published
--   value     "<public value>:<MAC>"              bound     cards with a MAC that came before the draw
--   total     admissions since the beginning      since     whoever waits counts as heard of then, at least
--   looked    when a node looked last             credit    thousandths of admissions, as of credited
--   level     "<offset>:<units left>:<when>"      freed     the first late number that is kept
local function open_book(keys, args)
  local v = redis.call('HMGET', keys[1], unpack(ROOM_FIELDS))
  local book = { now = math.floor(now_us(args) / 1000), was = {}, key = keys[1] }
  for i, field in ipairs(ROOM_FIELDS) do
    local value = v[i] or nil
    book.was[field] = value
    if field == 'head' or field == 'draw' or field == 'value' then
      value = value or ''
    elseif field ~= 'level' then
      value = tonumber(value)
      if value and not (value >= 0 and value <= NUMBER_MAX) then
        value = nil
      end
    end
    book[field] = value
  end
  if book.head == args[5] or number_before_colon(book.head) < number_before_colon(args[2]) then
    book.head = args[2]
  end
  if book.draw == '' or book.draw == args[6] then
    book.draw = args[3]
  end
  if book.value == '' or book.value == args[7] then
    book.value = args[4]
  end
  book.drawn = tonumber(book.draw:match('^(%d+):')) or book.drawn
  if (book.next or 0) > UNITS_MAX then
    book.next = nil
  end
  book.next = math.max(book.next or 0, tonumber(args[1]), number_before_colon(book.head), book.drawn or 0)
  book.bound = book.bound or 0
  book.total = book.total or 0
  if not book.since or book.since > book.now then
    book.since = book.now
  end
  return book
end

-- Writes what has changed.
local function close_book(book)
  local changed = {}
  for _, field in ipairs(ROOM_FIELDS) do
    local value = book[field]
    if type(value) == 'number' then
      value = string.format('%.0f', value)
    end
    if value and value ~= (book.was[field] or '') then
      changed[#changed + 1] = field
      changed[#changed + 1] = value
    end
  end
  if #changed > 0 then
    redis.call('HSET', book.key, unpack(changed))
  end
end

-- What every answer ends with.
local function shown(book, answer)
  close_book(book)
  for _, part in ipairs({ book.next, book.drawn or -1, book.head, book.draw, book.value, book.total }) do
    answer[#answer + 1] = part
  end
  return answer
end

local function keep(keys)
  for i = 1, #keys do
    redis.call('PEXPIRE', keys[i], ROOM_TTL_MS)
  end
end

local function seal(book, opened)
  if opened == '1' and not book.drawn then
    book.drawn = book.next
  end
end

-- Kind of a state, and its time.
local function state_of(keys, number)
  local state = redis.call('HGET', keys[3], number) or 'w0'
  return state:sub(1, 1), tonumber(state:sub(2)) or 0
end

local function heard(keys, number, now)
  redis.call('HSET', keys[3], number, string.format('w%.0f', now))
end

-- The buyer's latest place: number, card, kind and time of its state; nil if there is none.
local function place_of(keys, buyer)
  local number = redis.call('HGET', keys[4], buyer)
  local card = number and redis.call('HGET', keys[2], number)
  if not card or card:sub(9, 24) ~= buyer then
    return nil
  end
  return tonumber(number), card, state_of(keys, number)
end

-- fg_room_take: a place for a buyer, the one that they have or the next.
-- ARGV  8 1 if the sale's opening has come  9 card without its MAC  10 places at most
-- Answer: 0 a new one, 1 the one they had, 2 there is no room, 3 another call of theirs is being served; number; card
local function room_take(keys, args)
  local book = open_book(keys, args)
  seal(book, args[8])
  local number, card, kind, time = place_of(keys, args[9]:sub(9))
  if number and #card ~= CARD_BYTES then
    -- A ticket is never given for a card that anybody could have written. Its node has ended, if it is old.
    if kind == 'w' and book.now - time <= UNBOUND_MS_MAX then
      return shown(book, { 3, 0, '' })
    end
    redis.call('HSET', keys[3], number, 'p')
  elseif number and (kind == 'w' or kind == 'a' and book.now < time + LAPSE_GRACE_MS) then
    if kind == 'w' then
      heard(keys, number, book.now)
    end
    return shown(book, { 1, number, card })
  end
  if book.next - number_before_colon(book.head) >= tonumber(args[10]) then
    return shown(book, { 2, 0, '' })
  end
  number = book.next
  for _ = 1, TAKEN_MAX do
    if not redis.call('HGET', keys[2], number) then
      break
    end
    number = number + 1
  end
  book.next = number + 1
  redis.call('HSET', keys[2], number, args[9])
  redis.call('HSET', keys[4], args[9]:sub(9), number)
  heard(keys, number, book.now)
  local answer = shown(book, { 0, number, args[9] })
  keep(keys)
  return answer
end

-- Writes a card with its MAC. False: it would be one of the drawn, and the draw is published without it.
local function bind(keys, book, number, card)
  if not book.drawn or number < book.drawn then
    if book.draw ~= '' then
      return false
    end
    book.bound = book.bound + 1
  end
  redis.call('HSET', keys[2], number, card)
  return true
end

-- fg_room_bind: completes the card of a place that was just taken. Only then a ticket is given for it.
-- ARGV  8 number  9 card
-- Answer: 1 done, 0 too late or another's
local function room_bind(keys, args)
  local book = open_book(keys, args)
  local number, buyer = tonumber(args[8]), args[9]:sub(9, 24)
  local stored = redis.call('HGET', keys[2], number)
  local latest = tonumber(redis.call('HGET', keys[4], buyer) or nil)
  if stored == args[9] or stored == args[9]:sub(1, 24) and latest == number and bind(keys, book, number, args[9]) then
    return shown(book, { 1 })
  end
  if stored == args[9]:sub(1, 24) then
    -- Nobody will come for it.
    redis.call('HSET', keys[3], number, 'p')
    if latest == number then
      redis.call('HDEL', keys[4], buyer)
    end
  end
  return shown(book, { 0 })
end

-- fg_room_poll: how it stands with a ticket, whose holder is heard of by it. A place that was lost here is taken up
-- again if its turn has not come.
-- ARGV  8 number  9 card  10 its place, or -1 before the draw
-- Answer: 0 waits, 1 admitted, 2 spent, 3 lapsed, 4 passed over, 5 unknown; milliseconds that the admission lasts
local function room_poll(keys, args)
  local book = open_book(keys, args)
  local number, card, place = tonumber(args[8]), args[9], tonumber(args[10])
  local stored = redis.call('HGET', keys[2], number)
  if stored and stored ~= card and stored ~= card:sub(1, 24) then
    return shown(book, { 5, 0 })
  end
  if stored ~= card then
    if place < number_before_colon(book.head) and book.draw ~= '' then
      return shown(book, { place < 0 and 0 or 5, 0 })
    end
    -- Of one of the drawn the draw's root vouches; to the others nobody adds.
    if not bind(keys, book, number, card) then
      redis.call('HSET', keys[2], number, card)
    end
    book.next = math.max(book.next, number + 1)
    redis.call('HSET', keys[4], card:sub(9, 24), number)
    heard(keys, number, book.now)
    return shown(book, { 0, 0 })
  end
  local kind, time = state_of(keys, number)
  if kind == 'w' then
    heard(keys, number, book.now)
    return shown(book, { 0, 0 })
  elseif kind == 'a' then
    return shown(book, { book.now < time and 1 or 3, math.max(time - book.now, 0) })
  end
  return shown(book, { kind == 's' and 2 or 4, 0 })
end

-- fg_room_find: a buyer's latest place.
-- ARGV  8 buyer
-- Answer: number, or -1; its card
local function room_find(keys, args)
  local book = open_book(keys, args)
  local number, card = place_of(keys, args[8])
  return shown(book, { number or -1, card or '' })
end

-- The units left as of the highest offset that was told lately.
local function units_left(book, offset, left)
  local stored_offset, stored_left, at = (book.level or ''):match('^(%d+):(%d+):(%d+)$')
  at = tonumber(at)
  if at and at <= book.now and book.now - at <= ROOM_LEVEL_MS_MAX and tonumber(stored_offset) > tonumber(offset) then
    return tonumber(stored_left)
  end
  book.level = string.format('%s:%s:%.0f', offset, left, book.now)
  return tonumber(left)
end

-- fg_room_spend: the buyer has bought, or can have no more: their admission is used.
-- ARGV  8 buyer  9 offset  10 units left as of it
-- Answer: 1 it was used now, 0 there was none
local function room_spend(keys, args)
  local book = open_book(keys, args)
  units_left(book, args[9], args[10])
  local number, _, kind, time = place_of(keys, args[8])
  if not number or kind ~= 'a' or book.now >= time + LAPSE_GRACE_MS then
    return shown(book, { 0 })
  end
  redis.call('HSET', keys[3], number, 's')
  redis.call('ZREM', keys[5], number)
  return shown(book, { 1 })
end

local function admitted(keys, book)
  redis.call('ZREMRANGEBYSCORE', keys[5], '-inf', book.now)
  return redis.call('ZCARD', keys[5])
end

-- What may be admitted now, in thousandths: it grows with time, up to what one second gives.
local function credit(book, rate)
  if not book.credited or book.credited > book.now then
    book.credited, book.credit = book.now, 0
  end
  local grown = (book.credit or 0) + (book.now - book.credited) * rate
  return math.min(math.max(grown, 0), math.max(rate * 1000, 1000))
end

-- Lets go of late places that are over.
local function free(keys, book)
  local head = number_before_colon(book.head)
  book.freed = math.max(book.freed or 0, book.drawn or 0)
  for _ = 1, FREED_MAX do
    if book.freed >= head then
      return
    end
    local kind, time = state_of(keys, book.freed)
    if kind == 'w' or kind == 'a' and book.now < time + LAPSE_GRACE_MS then
      return
    end
    local card = redis.call('HGET', keys[2], book.freed)
    if card then
      local buyer = card:sub(9, 24)
      if tonumber(redis.call('HGET', keys[4], buyer) or nil) == book.freed then
        redis.call('HDEL', keys[4], buyer)
      end
      redis.call('HDEL', keys[2], book.freed)
    end
    redis.call('HDEL', keys[3], book.freed)
    book.freed = book.freed + 1
  end
end

-- fg_room_look: how the room stands, and those who are next.
-- ARGV  8 1 if the sale's opening has come  9 admissions a second  10 … the numbers of the next places, in their order
-- Answer: thousandths of admissions that may be made; admitted; in an array how long ago each number was heard of, or
-- -1 if it does not wait, or if it is not known -2 - how long it could have been heard
local function room_look(keys, args)
  local book = open_book(keys, args)
  if book.next == 0 and not book.drawn then
    return { 0, 0, {}, 0, -1, '', '', '', 0 }
  end
  seal(book, args[8])
  if not book.looked or book.looked > book.now or book.now - book.looked > SILENCE_MS_MAX then
    book.since = book.now
  end
  book.looked = book.now
  local may = 0
  if book.draw ~= '' then
    may = credit(book, tonumber(args[9]))
    free(keys, book)
  end
  local ages = {}
  if #args > 9 then
    local numbers = { unpack(args, 10) }
    local states = redis.call('HMGET', keys[3], unpack(numbers))
    for i = 1, #numbers do
      local state = states[i]
      if not state then
        ages[i] = -2 - (book.now - book.since)
      elseif state:sub(1, 1) == 'w' then
        ages[i] = math.max(book.now - math.max(tonumber(state:sub(2)) or 0, book.since), 0)
      else
        ages[i] = -1
      end
    end
  end
  return shown(book, { may, admitted(keys, book), ages })
end

-- fg_room_admit: lets in whom a node has chosen, if the head is still the one that it saw, and rate and units allow it.
-- ARGV  8 the head that it saw  9 the head after it  10 admissions a second  11 offset  12 units left as of it
--       13 admissions beyond the units left  14 how long an admission is good (ms)  15 how many are let in, then
--       their numbers, and those of whom it passes over
-- Answer: 1 done, 0 not
local function room_admit(keys, args)
  local book = open_book(keys, args)
  local count, left = tonumber(args[15]), units_left(book, args[11], args[12])
  local may = credit(book, tonumber(args[10]))
  local too_many = count > 0
    and (may < count * 1000 or left == 0 or admitted(keys, book) + count > left + tonumber(args[13]))
  if book.head ~= args[8] or book.draw == '' or too_many then
    return shown(book, { 0 })
  end
  local until_ms = book.now + tonumber(args[14])
  for i = 16, #args do
    if i < 16 + count then
      redis.call('HSET', keys[3], args[i], string.format('a%.0f', until_ms))
      redis.call('ZADD', keys[5], until_ms + LAPSE_GRACE_MS, args[i])
    else
      redis.call('HSET', keys[3], args[i], 'p')
    end
  end
  book.head, book.total = args[9], book.total + count
  book.credit, book.credited = may - count * 1000, book.now
  local answer = shown(book, { 1 })
  keep(keys)
  return answer
end

-- fg_room_cards: the cards of some numbers, for the draw.
-- ARGV  8 first  9 how many, at most 1,000
-- Answer: how many cards were bound; the cards, empty where there is none
local function room_cards(keys, args)
  local book = open_book(keys, args)
  local numbers = {}
  for i = 1, math.min(tonumber(args[9]), ARGUMENTS_MAX) do
    numbers[i] = tonumber(args[8]) + i - 1
  end
  local cards = {}
  if #numbers > 0 then
    cards = redis.call('HMGET', keys[2], unpack(numbers))
    for i = 1, #numbers do
      cards[i] = cards[i] or ''
    end
  end
  return shown(book, { book.bound, cards })
end

-- fg_room_draw: publishes a draw over the cards as they were when so many were bound.
-- ARGV  8 how many are drawn  9 how many cards were bound  10 the draw  11 … numbers whose card does not count
-- Answer: 1 if it is published, or is already
local function room_draw(keys, args)
  local book = open_book(keys, args)
  if book.draw == '' and book.drawn and book.drawn <= tonumber(args[8]) and book.bound == tonumber(args[9]) then
    book.draw, book.drawn = args[10], tonumber(args[8])
    book.next = math.max(book.next, book.drawn)
    for i = 11, #args do
      redis.call('HSET', keys[3], args[i], 'p')
    end
  end
  return shown(book, { book.draw ~= '' and 1 or 0 })
end

-- fg_room_value: gives the public value of a published draw.
-- ARGV  8 the value
-- Answer: 1 if it is the one that counts
local function room_value(keys, args)
  local book = open_book(keys, args)
  if book.draw ~= '' and book.value == '' then
    book.value = args[8]
  end
  return shown(book, { book.value == args[8] and 1 or 0 })
end

-- fg_room_mend: takes away keys of another kind, which were forged. Callers hold no DEL: they expire.
-- KEYS  as above; no arguments
-- Answer: how many
local function room_mend(keys)
  local gone = 0
  for i, key in ipairs(keys) do
    local read = i == 5 and redis.pcall('ZCARD', key) or redis.pcall('HGET', key, '')
    if type(read) == 'table' then
      redis.call('PEXPIRE', key, 0)
      gone = gone + 1
    end
  end
  return gone
end

redis.register_function('fg_room_mend', room_mend)
redis.register_function('fg_room_take', room_take)
redis.register_function('fg_room_bind', room_bind)
redis.register_function('fg_room_poll', room_poll)
redis.register_function('fg_room_find', room_find)
redis.register_function('fg_room_spend', room_spend)
redis.register_function('fg_room_look', room_look)
redis.register_function('fg_room_admit', room_admit)
redis.register_function('fg_room_cards', room_cards)
redis.register_function('fg_room_draw', room_draw)
redis.register_function('fg_room_value', room_value)
