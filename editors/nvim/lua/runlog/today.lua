-- What a statusline shows: today's cost and how many runs are going on, as the daemon has them. Asked for when
-- something changed, every two seconds at most, and when the day turns.
local Client = require('runlog.client')
local format = require('runlog.format')

local M = {}

local ask_every = 2000

local client, text, cost, running, pending, asked_at
local started = false

local function draw()
  local parts = {}
  if cost then
    parts[#parts + 1] = format.cost(cost) .. ' today'
  end
  if running and running > 0 then
    parts[#parts + 1] = ('%d running'):format(running)
  end
  local new = table.concat(parts, ' · ')
  if new ~= text then
    text = new
    vim.cmd.redrawstatus({ bang = true })
  end
end

local function ask()
  if pending then
    return
  end
  pending = true
  vim.defer_fn(function()
    pending = false
    asked_at = vim.uv.now()
    local zone = require('runlog.zone').name()
    client:request('executions/stats', { where = 'startedAt >= today', timezone = zone }, function(err, stats)
      if not err then
        cost = stats.totalCostUSD
        draw()
      end
    end)
    client:request('executions/count', { where = 'status = running and not stale' }, function(err, counted)
      if not err then
        running = counted.count
        draw()
      end
    end)
  end, asked_at and math.max(0, asked_at + ask_every - vim.uv.now()) or 0)
end

local function at_midnight()
  local now = os.date('*t') --[[@as osdate]]
  local left = 86400 - (now.hour * 3600 + now.min * 60 + now.sec) + 1
  vim.defer_fn(function()
    ask()
    at_midnight()
  end, left * 1000)
end

local function start()
  started = true
  require('runlog.roots').find(vim.fn.getcwd(), false, function(roots, trouble)
    -- nothing is started where there are no runs, or where nobody knows which
    if trouble or #roots ~= 1 or not roots[1].given then
      return
    end
    client = Client.of(roots[1])
    client:retain()
    client:subscribe({}, ask)
    ask()
    at_midnight()
  end)
end

---@return string
function M.text()
  if not started then
    vim.schedule(start)
    started = true
  end
  return text or ''
end

return M
