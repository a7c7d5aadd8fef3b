"""What Redis does in one step, in Lua. Scripts are sent whole: their text is short, and no script can be missing.

Keys of one learner and epoch (see `packing`), all in one Cluster slot:

    generation  a random text. Hashes that bear another one say nothing; nor does any hash while there is none.
    writers     a hash: token of a write that has begun -> when (Redis seconds). While there is any, nobody reads.
    hash        one context: _gen its generation, _id drawn when it was made, _full when a fill was done, and of each
                content r: its row (the version first, in VERSION_DIGITS), s: its scores, k: what is kept of it.

Only `RESERVE` makes a hash. A hash that was lost (evicted, expired, flushed) and made again has another _id, so a fill
that began before cannot go on in it: what was written in between may be lost with the old one.
"""

VERSION_DIGITS = 12

BEGIN_WRITE = """
redis.call('HSET', KEYS[1], ARGV[1], redis.call('TIME')[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
"""KEYS: writers. ARGV: token, seconds to live."""

_IS_OLDER = f"""
local function is_older(hash, field, row)
  local there = redis.call('HGET', hash, field)
  return not there or tonumber(string.sub(there, 1, {VERSION_DIGITS})) < tonumber(string.sub(row, 1, {VERSION_DIGITS}))
end
"""

WRITE = (
    _IS_OLDER
    + """
redis.call('HDEL', KEYS[2], ARGV[1])
local generation = redis.call('GET', KEYS[1])
if not generation then return 0 end
for i = 2, #ARGV, 3 do
  local hash = KEYS[tonumber(ARGV[i])]
  if redis.call('HGET', hash, '_gen') == generation and is_older(hash, ARGV[i + 1], ARGV[i + 2]) then
    redis.call('HSET', hash, ARGV[i + 1], ARGV[i + 2])
  end
end
return 1
"""
)
"""KEYS: generation, writers, hashes. ARGV: token, then for each row: number of its hash's key, field, packed row."""

FORGET = """
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[1])
"""
"""KEYS: generation, writers. ARGV: token. All that the map says of the learner is void; works on a full server too."""

RESERVE = """
local began = redis.call('HGETALL', KEYS[2])
local now = tonumber(redis.call('TIME')[1])
for i = 1, #began, 2 do
  if now - tonumber(began[i + 1]) > tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[2], began[i])
    redis.call('DEL', KEYS[1])
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[3])
local generation = redis.call('GET', KEYS[1])
local answer = {generation}
for i = 3, #KEYS do
  local there = redis.call('HMGET', KEYS[i], '_gen', '_id')
  if there[1] ~= generation then
    redis.call('DEL', KEYS[i])
    redis.call('HSET', KEYS[i], '_gen', generation, '_id', ARGV[2])
    redis.call('EXPIRE', KEYS[i], ARGV[3])
    there[2] = ARGV[2]
  end
  answer[#answer + 1] = there[2]
end
return answer
"""
"""KEYS: generation, writers, hashes. ARGV: a new generation, a new id, seconds to live, seconds a write may take.

Answers the generation and each hash's id. A write that began longer ago was killed between store and map, and nobody
else can tell what it left in the store: with its token goes the generation.
"""

FILL = (
    _IS_OLDER
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local there = redis.call('HMGET', KEYS[2], '_gen', '_id')
if there[1] ~= ARGV[1] or there[2] ~= ARGV[2] then return 0 end
for i = 4, #ARGV, 2 do
  local field = ARGV[i]
  if string.sub(field, 1, 2) ~= 'r:' or is_older(KEYS[2], field, ARGV[i + 1]) then
    redis.call('HSET', KEYS[2], field, ARGV[i + 1])
  end
end
redis.call('HSET', KEYS[2], '_full', 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""
)
"""KEYS: generation, hash. ARGV: its generation, its id, seconds to live, then field and value. 0: refused."""
