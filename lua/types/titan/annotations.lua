---@meta _

--- Where what an annotation keeps is kept: in each worker, in the manager for all of them, or in
--- the file of the manager's `store`, which outlives it.
---@alias titan.annotation.Store "memory"|"manager"|"sqlite"

---@class titan.annotation.Cache
--- How long results are kept; for good if left out, until others take their place. Required with
--- store = "sqlite".
---@field ttl? titan.Duration
--- What calls with the same results have in common; the content of the arguments unless told.
---@field key_fn? fun(...): string|number
--- Whether to keep the results of this call.
---@field condition? fun(result: any, ...): boolean
--- Of the keys in memory; those not asked for the longest give way. (default: 1000)
---@field max_entries? integer
---@field store? titan.annotation.Store (default: "memory")

---@class titan.annotation.Idempotent
--- What makes two calls the same, when the caller gave no `idempotency_key`; the content of the
--- arguments unless told.
---@field key_fn? fun(...): string|number
--- How long an answer is remembered. (default: "1h")
---@field ttl? titan.Duration
---@field store? titan.annotation.Store (default: "manager")
--- Answers in memory; those not asked for the longest give way. (default: 100000)
---@field max_entries? integer

---@class titan.annotation.RateLimit
--- Calls a second in the long run; above 0.
---@field rps number
--- How many may come at once; rps rounded up, unless told.
---@field burst? integer
---@field strategy? "token_bucket"|"sliding_window"|"fixed_window" (default: "token_bucket")
--- What has a limit of its own: a user, an address. One limit for all calls unless told.
---@field key_fn? fun(...): string|number
--- "manager": one limit for all processes of the service. (default: "manager")
---@field store? "memory"|"manager"

---@class titan.annotation.Retry
--- How often it is called at most. (default: 3)
---@field attempts? integer
--- Before the second attempt. (default: "50ms")
---@field delay? titan.Duration
--- How the waits after that grow.
---@field backoff? titan.annotation.RetryBackoff
--- Whether this error is retried; what is `retryable` and what the method raised itself unless
--- told. `cancelled` never is.
---@field retry_if? fun(err: titan.Error): boolean

---@class titan.annotation.RetryBackoff
---@field type? "exponential"|"linear"|"fixed" (default: "exponential")
--- Before the third attempt. (default: "100ms")
---@field initial? titan.Duration
--- No wait is longer. (default: "5s")
---@field max? titan.Duration
--- Of exponential growth. (default: 2)
---@field factor? number
--- Every wait is spread by plus and minus this share of it. (default: 0.2)
---@field jitter? number

---@class titan.annotation.CircuitBreaker
--- Failures in a row that open it. (default: 5)
---@field failure_threshold? integer
--- How long it stays open. (default: "30s")
---@field timeout? titan.Duration
--- Calls let through after that; as many successes close it. (default: 1)
---@field half_open_requests? integer
--- Results of a refused call, instead of `circuit_open`.
---@field fallback? fun(self: titan.Self, err: titan.Error, ...): ...
--- Whether this error counts; all do unless told, but for calls that were refused or cancelled.
---@field is_failure? fun(err: titan.Error): boolean

---@class titan.annotation.Bulkhead
--- How many calls run side by side.
---@field max_concurrent integer
--- How many more wait for a place. (default: 0)
---@field max_queue? integer
--- How long they wait; as long as their caller does unless told.
---@field queue_timeout? titan.Duration

--- A fallback for some errors.
---@class titan.annotation.Fallback
--- Its results are the call's.
---@field [1] fun(self: titan.Self, err: titan.Error, ...): ...
--- The errors it is for: their codes, or a function that says so.
---@field on? titan.ErrorCode[]|(fun(err: titan.Error): boolean)

--- Metrics of your own, in `pm:get_metrics` under `counters`, `histograms` and `series`. A counter,
--- a histogram, or both.
---@class titan.annotation.Metric
--- The name of what counts the calls that returned.
---@field counter? string
--- The name of what keeps how long they took, in ms.
---@field histogram? string
--- At most 8, by name: texts, or functions of the arguments that return one (or nil for none).
---@field labels? table<string, string|fun(...): string|number|boolean|nil>

--- What a span tells beside its times, by name.
---@alias titan.SpanAttributes table<string, string|number|boolean>

--- A span for each call, by W3C Trace Context; `monitoring.tracing` says where they are sent.
---@class titan.annotation.Trace
--- Of the span; "service/method" unless told.
---@field name? string
--- Of the span; a function gets the arguments of the call.
---@field attributes? titan.SpanAttributes|(fun(...): titan.SpanAttributes?)

--- What a method may be given and may return; else the call raises `validation_failed`.
---@class titan.annotation.Validate
--- One for each argument, and `rest` for those that follow; without it there may be none.
---@field args? titan.validate.Schema[]|{ rest: titan.validate.Schema }
--- Of the one result, or a list as args is.
---@field result? titan.validate.Schema|titan.validate.Schema[]

-- Schemas of validate ------------------------------------------------------------------------

--- What a value may be: the name of a type, or a table that says more.
---@alias titan.validate.Schema
---| titan.validate.TypeName
---| titan.validate.Value
---| titan.validate.List
---| titan.validate.Map
---| titan.validate.Fields
---| titan.validate.AnyOf

--- With "?" nil will do. "any" is every value but nil.
---@alias titan.validate.TypeName
---| "string"
---| "integer"
---| "number"
---| "boolean"
---| "table"
---| "any"
---| "string?"
---| "integer?"
---| "number?"
---| "boolean?"
---| "table?"
---| "any?"

--- What every schema that is a table may have.
---@class titan.validate.Common
--- Whether nil will do. (default: false)
---@field optional? boolean
--- Called last: false and why the value does not fit.
---@field check? fun(value: any): boolean, string?

--- A string, a number, a boolean; what goes with it depends on its type.
---@class titan.validate.Value: titan.validate.Common
---@field type? titan.validate.TypeName
--- Of a number.
---@field min? number
--- Of a number.
---@field max? number
--- Bytes of a string.
---@field min_len? integer
--- Bytes of a string.
---@field max_len? integer
--- A Lua pattern that the string must match.
---@field pattern? string
--- One of these strings, numbers or booleans.
---@field one_of? any[]

--- 1..n without holes.
---@class titan.validate.List: titan.validate.Common
--- Of each item.
---@field list titan.validate.Schema
---@field min_len? integer
---@field max_len? integer

--- Any table.
---@class titan.validate.Map: titan.validate.Common
--- Of each value.
---@field map titan.validate.Schema
--- Of each key.
---@field keys? titan.validate.Schema

--- A record.
---@class titan.validate.Fields: titan.validate.Common
--- By name.
---@field fields table<string|integer, titan.validate.Schema>
--- Whether there may be other fields. (default: false)
---@field open? boolean

--- What fits one of them.
---@class titan.validate.AnyOf: titan.validate.Common
---@field any_of titan.validate.Schema[]

-- Annotations of one's own ---------------------------------------------------------------------

--- A method as `wrap` gets and returns it: any arguments and results, nils kept; may wait.
---@alias titan.MethodFn fun(self: titan.Self, ...): ...

--- An annotation of your own (`annotations` of titan.process). Around a method it has its place
--- outside of all but trace and metric.
---@class titan.Annotation
--- What may be written.
---@field schema titan.Schema
--- Refuses what a schema cannot express: raises `invalid_config`.
---@field check? fun(value: any, path: string)
--- Notes a fact about the method, where the class is declared.
---@field apply? fun(method: table, value: any)
--- Returns the function around `inner`. Called once in each process that serves the method, not for
--- the value false.
---@field wrap? fun(inner: titan.MethodFn, value: any, place: titan.Place): titan.MethodFn
--- The same, for what belongs next to the method, inside of every `wrap`.
---@field wrap_inside? fun(inner: titan.MethodFn, value: any, place: titan.Place): titan.MethodFn
--- The same, around all of it, for calls from outside alone: `self:method()` does not pass it.
---@field wrap_entry? fun(outer: titan.MethodFn, value: any, place: titan.Place): titan.MethodFn
--- Annotations it cannot be with -> why.
---@field excludes? table<string, string>

--- Where a method with annotations runs.
---@class titan.Place
--- What the class is called.
---@field class string
---@field method string
--- The name of the process.
---@field process string
--- The name of the service, which is that of the pool if it is in one.
---@field scope string
--- Whether the method returns an iterator.
---@field stream boolean

--- What a value of the schema of an annotation is.
---@alias titan.SchemaKind
---| "boolean"  # true or false
---| "integer"  # a whole number; min, max
---| "number"   # a finite integer or float; min, max
---| "string"   # min and max bytes; pattern
---| "duration" # titan.Duration, becomes integer milliseconds; min, max
---| "size"     # titan.Size, becomes integer bytes; min, max
---| "function" # a Lua or C function
---| "enum"     # one of `values`
---| "list"     # 1..n without holes, each item fits `of`; min and max items
---| "map"      # any number of keys that fit `key`, with values that fit `value`
---| "table"    # a record: the keys of `fields` and no others
---| "any"      # passed through as it is; `type` may demand one Lua type
---| "one_of"   # the first of the list `of` that the value fits

--- What may be written in an annotation of your own: the value is checked where the class is
--- declared, and `wrap` gets a copy in which defaults are filled in.
---@class titan.Schema
---@field kind titan.SchemaKind
--- Stands for a missing value.
---@field default? any
--- The value may not be missing.
---@field required? boolean
--- A missing record stays missing instead of getting its defaults.
---@field optional? boolean
---@field min? number|string
---@field max? number|string
--- A Lua pattern that the string must match.
---@field pattern? string
--- Of an enum.
---@field values? any[]
--- Of a list, or the alternatives of one_of.
---@field of? titan.Schema|titan.Schema[]
--- Of the keys of a map.
---@field key? titan.Schema
--- Of the values of a map.
---@field value? titan.Schema
--- Of a record.
---@field fields? table<string, titan.Schema>
--- What a key of this record is called in messages; "key" unless told.
---@field noun? string
--- The name of a Lua type.
---@field type? string
--- Last step: what becomes of the value; nil and why refuses it.
---@field convert? fun(checked: any): any, string?
--- Says what is allowed, instead of what is made from the kind.
---@field allowed? string
--- For people.
---@field doc? string
