--- The store: values that live for a while, claims on values that are not there yet, limits.
--
-- Everything is in this process. Another process's store (titan.store.remote) is this one in
-- the manager, and a durable one (titan.store.durable) is this one with a file behind it.
--
-- What is promised:
--
--  * At most one has the claim of a key at any time. Who claims a key that has a value gets
--    the value; who claims one that another has waits, and those who wait are served in
--    the order in which they came.
--  * A waiter that gives up (it is cancelled, or its time is over) is forgotten; when the claim had
--    just been passed to it, the next one gets it.
--  * Claims do not end by themselves: who has one settles or abandons it. All those of an owner
--    that is gone end with `abandon_all`.
--  * Times are counted on the monotonic clock: setting the wall clock changes nothing.
--  * With `max_entries`, values give way, those not used for the longest time first; claims and
--    limits do not.
--
-- A value may be anything but nil; a store that is not in this process takes strings only.

local core = require "titan.core"
local errors = require "titan.errors"
local limits = require "titan.store.limits"
local shelf = require "titan.store.shelf"

local memory = {}

---@class titan.StoreClaim
---@field owner any who has it: whatever abandon_all is called with
---@field token any tells two claims of one owner apart
---@field heir? titan.StoreWaiter who it was passed to last
---@field first? titan.StoreWaiter
---@field last? titan.StoreWaiter

---@class titan.StoreWaiter
---@field store titan.MemoryStore
---@field key string
---@field claim titan.StoreClaim
---@field co thread
---@field owner any
---@field token any
---@field before? titan.StoreWaiter
---@field behind? titan.StoreWaiter
---@field outcome? "mine"|"done"|"failed"
---@field value any of "done"; the error of "failed"
---@field told? boolean whether it has heard of its outcome

---@class titan.MemoryStore
---@field package values titan.Shelf
---@field package limits titan.Shelf of what titan.store.limits keeps, and which limit it is of
---@field package claims table<string, titan.StoreClaim>
---@field package claimed integer how many claims there are
---@field package ledger? titan.Ledger
---@field package owner_of? fun(process: userdata): any
---@field package max_entries integer
---@field package clock fun(): number ms
local Memory = {}
Memory.__index = Memory

-- A ledger has the values in the place of a shelf, strings all of them. Of claims it knows which
-- keys have one: those that the core made in it for a process, and has told nobody of, until
-- somebody wants to wait for one (`take_over`); and those of `claims`.
---@class titan.Ledger: titan.Shelf
---@field claim fun(self: titan.Ledger, key: string): "mine"|"done"|nil, string?
---@field hold fun(self: titan.Ledger, key: string)
---@field let_go fun(self: titan.Ledger, key: string)
---@field take_over fun(self: titan.Ledger, key: string): userdata?, integer? process and token
---@field drop fun(self: titan.Ledger, process: userdata)
---@field set_beside fun(self: titan.Ledger, count: integer)
---@field close fun(self: titan.Ledger)

---@class titan.MemoryOptions
---@field max_entries? integer
---@field clock? fun(): number ms
---@field ledger? titan.Ledger with the same max_entries; its clock is core.monotonic_ms
---@field owner_of? fun(process: userdata): any who claims in the ledger, as abandon_all is called;
--- its `process` is that one

---@param options? titan.MemoryOptions
---@return titan.MemoryStore
function memory.new(options)
  options = options or {}
  return setmetatable({
    values = options.ledger or shelf.new(), limits = shelf.new(), claims = {}, claimed = 0,
    ledger = options.ledger, owner_of = options.owner_of,
    max_entries = options.max_entries or math.maxinteger,
    clock = options.clock or core.monotonic_ms,
  }, Memory)
end

-- Room -----------------------------------------------------------------------------------

--- How many values, claims and limits there are.
---@return integer
function Memory:count()
  local claimed = self.ledger and 0 or self.claimed -- which a ledger counts
  return self.values:len() + self.limits:len() + claimed
end

-- Makes room for one more. Raises `limit_exceeded` when nothing can give way.
---@param self titan.MemoryStore
local function make_room(self)
  local now = self.clock()
  self.values:sweep(now)
  self.limits:sweep(now)
  if self:count() < self.max_entries then
    return
  end
  if not self.values:remove_oldest() and self.limits:sweep(now, self.limits:len()) == 0 then
    errors.raise("limit_exceeded", string.format("the store is full: max_entries = %d, and all of "
      .. "them are claims of calls that run (%d) or limits in use (%d)", self.max_entries,
      self:count() - self.limits:len(), self.limits:len()))
  end
end

-- Values ---------------------------------------------------------------------------------

--- The value of the key, or nil.
---@param key string
---@return any value
function Memory:get(key)
  return self.values:get(key, self.clock())
end

---@param self titan.MemoryStore
---@param key string
---@param value any
---@param ttl_ms number?
local function keep(self, key, value, ttl_ms)
  self.values:put(key, value, ttl_ms and self.clock() + ttl_ms)
end

--- Keeps a value, for so long or for good. Raises `limit_exceeded`.
---@param key string
---@param value any not nil
---@param ttl_ms? number
function Memory:put(key, value, ttl_ms)
  if not self.values:has(key) then
    make_room(self)
  end
  keep(self, key, value, ttl_ms)
end

---@param key string
function Memory:remove(key)
  self.values:remove(key)
end

-- Waiters --------------------------------------------------------------------------------

---@param claim titan.StoreClaim
---@param waiter titan.StoreWaiter
local function enqueue(claim, waiter)
  waiter.before = claim.last
  if claim.last then
    claim.last.behind = waiter
  else
    claim.first = waiter
  end
  claim.last = waiter
end

---@param claim titan.StoreClaim
---@param waiter titan.StoreWaiter
local function dequeue(claim, waiter)
  local before, behind = waiter.before, waiter.behind
  if before then
    before.behind = behind
  else
    claim.first = behind
  end
  if behind then
    behind.before = before
  else
    claim.last = before
  end
end

---@param waiter titan.StoreWaiter
---@param outcome "mine"|"done"|"failed"
---@param value any
local function tell(waiter, outcome, value)
  dequeue(waiter.claim, waiter)
  waiter.outcome, waiter.value = outcome, value
  core.unpark(waiter.co)
end

---@param claim titan.StoreClaim
---@param outcome "done"|"failed"
---@param value any
local function tell_all(claim, outcome, value)
  while claim.first do
    tell(claim.first, outcome, value)
  end
end

---@param self titan.MemoryStore
---@param key string
---@return titan.StoreClaim?
local function claim_on(self, key)
  local claim, ledger = self.claims[key], self.ledger
  if claim or not ledger then
    return claim
  end
  local process, token = ledger:take_over(key)
  if token then
    claim = { owner = self.owner_of(process), token = token }
    self.claims[key] = claim
    self.claimed = self.claimed + 1
  end
  return claim
end

---@param self titan.MemoryStore
---@param key string
local function remove_claim(self, key)
  self.claims[key] = nil
  self.claimed = self.claimed - 1
  if self.ledger then
    self.ledger:let_go(key)
  end
end

-- The claim goes to the first that waits, or is gone.
---@param self titan.MemoryStore
---@param key string
---@param claim titan.StoreClaim
local function pass_on(self, key, claim)
  local heir = claim.first
  claim.heir = heir
  if heir then
    claim.owner, claim.token = heir.owner, heir.token
    tell(heir, "mine")
  elseif self.claims[key] == claim then
    remove_claim(self, key)
  end
end

local Waiter = {}

-- However the waiting ended.
---@param waiter titan.StoreWaiter
function Waiter.__close(waiter)
  if not waiter.outcome then
    dequeue(waiter.claim, waiter)
  elseif waiter.outcome == "mine" and not waiter.told and waiter.claim.heir == waiter then
    pass_on(waiter.store, waiter.key, waiter.claim)
  end
end

---@param waiter titan.StoreWaiter
---@param wait_ms number?
local function park(waiter, wait_ms)
  local deadline = wait_ms and core.monotonic_ms() + wait_ms
  while not waiter.outcome do
    local left = deadline and math.max(0, math.ceil(deadline - core.monotonic_ms()))
    if left == 0 then
      errors.raise("timeout", string.format("waited %d ms for a call with the same key, which "
        .. "still runs", math.ceil(wait_ms)))
    end
    core.park(left)
  end
end

---@param self titan.MemoryStore
---@param key string
---@param claim titan.StoreClaim
---@param wait_ms number?
---@param owner any
---@param token any
local function wait(self, key, claim, wait_ms, owner, token)
  local waiter <close> = setmetatable({
    store = self, key = key, claim = claim, co = core.current(), owner = owner, token = token,
  }, Waiter)
  enqueue(claim, waiter)
  park(waiter, wait_ms)
  waiter.told = true
  if waiter.outcome == "failed" then
    error(waiter.value, 0)
  end
  return waiter.outcome, waiter.value
end

-- Claims ---------------------------------------------------------------------------------

--- Whether `claim` would answer at once.
---@param key string
---@return boolean
function Memory:is_at_once(key)
  return not claim_on(self, key)
end

--- The value of the key, or the right to find it out: who gets "mine" settles or abandons it.
--- Waits while another has the claim. Raises `timeout` after wait_ms, `limit_exceeded`, and what
--- the claim was abandoned with.
---@param key string
---@param wait_ms? number as long as it takes without one
---@param owner? any
---@param token? any
---@return "mine"|"done"
---@return any value of "done"
function Memory:claim(key, wait_ms, owner, token)
  local ledger = self.ledger
  local state, value
  if ledger then
    state, value = ledger:claim(key)
  else
    value = self:get(key)
  end
  if value ~= nil then
    return "done", value
  end
  if not state then
    local claim = claim_on(self, key)
    if claim then
      return wait(self, key, claim, wait_ms, owner, token)
    end
    make_room(self)
    if ledger then
      ledger:hold(key)
    end
  end
  self.claims[key] = { owner = owner, token = token }
  self.claimed = self.claimed + 1
  return "mine"
end

-- The claim of the key, if it is this one's.
---@param self titan.MemoryStore
---@param key string
---@param owner any
---@param token any
---@return titan.StoreClaim?
local function claim_of(self, key, owner, token)
  local claim = claim_on(self, key)
  return claim and claim.owner == owner and claim.token == token and claim or nil
end

--- Ends a claim: those who wait get "done" and the value, which is then kept; not kept with a
--- ttl_ms of 0.
---@param key string
---@param value any not nil
---@param ttl_ms? number
---@param owner? any as it was claimed
---@param token? any
function Memory:settle(key, value, ttl_ms, owner, token)
  local claim = claim_of(self, key, owner, token)
  if claim then
    remove_claim(self, key)
    tell_all(claim, "done", value)
  end
  if ttl_ms == 0 then
    return
  elseif claim then
    keep(self, key, value, ttl_ms) -- in the place of the claim
  else
    self:put(key, value, ttl_ms)
  end
end

--- Ends a claim with nothing to remember: the first that waits gets it; with an error, all that
--- wait raise it instead. Does nothing for a claim that is not there.
---@param key string
---@param err? any
---@param owner? any as it was claimed
---@param token? any
function Memory:abandon(key, err, owner, token)
  local claim = claim_of(self, key, owner, token)
  if claim and err ~= nil then
    tell_all(claim, "failed", err)
  end
  if claim then
    pass_on(self, key, claim)
  end
end

--- The owner is gone: its claims are abandoned, and it waits for none any more.
---@param owner any
function Memory:abandon_all(owner)
  if self.ledger then
    self.ledger:drop(owner.process)
  end
  local gone = errors.new("worker_lost", "the process that waited has ended")
  for key, claim in next, self.claims do
    local waiter = claim.first
    while waiter do
      local behind = waiter.behind
      if waiter.owner == owner then
        tell(waiter, "failed", gone)
      end
      waiter = behind
    end
    if claim.owner == owner then
      pass_on(self, key, claim)
    end
  end
end

-- Limits ---------------------------------------------------------------------------------

---@param self titan.MemoryStore
---@param key string
---@param limit titan.Limiter
---@param now number
---@return table
local function limit_state(self, key, limit, now)
  local known = self.limits:get(key, now)
  if known and known.rps == limit.rps and known.burst == limit.burst
    and known.strategy == limit.strategy then
    return known
  end
  self.limits:remove(key) -- another limit begins anew
  make_room(self)
  return { rps = limit.rps, burst = limit.burst, strategy = limit.strategy }
end

--- Takes one call out of what the limit allows. Raises `limit_exceeded` when there is no room for
--- another key.
---@param key string
---@param limit titan.Limiter
---@return boolean
---@return number? retry_after_ms when false: so long until one may be taken
function Memory:take(key, limit)
  local now = self.clock()
  self.limits:sweep(now)
  local state = limit_state(self, key, limit, now)
  local is_taken, retry_after_ms = limits.take(state, limit, now)
  self.limits:put(key, state, state.expires)
  if self.ledger then
    self.ledger:set_beside(self.limits:len())
  end
  return is_taken, retry_after_ms
end

--- Forgets everything; who waits raises `shutting_down`.
function Memory:close()
  local closed = errors.new("shutting_down", "the store was closed")
  local claims = self.claims
  if self.ledger then
    self.ledger:close()
    self.ledger = nil
  end
  self.values, self.limits, self.claims, self.claimed = shelf.new(), shelf.new(), {}, 0
  for _, claim in next, claims do
    tell_all(claim, "failed", closed)
  end
end

return memory
