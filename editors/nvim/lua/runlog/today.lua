-- What a statusline shows: today's cost and how many runs are going on, as the daemon has them. Asked for when
-- something changed, every two seconds at most, and when the day turns; while something is running from time to time
-- too, for what is silent for too long turns stale without a change.
local Client = require('runlog.client')
local format = require('runlog.format')

local M = {
  -- how often it is asked while something is running, in milliseconds
  running_every = 30000,
  -- how long after a program was given up it is tried again, in milliseconds
  retry_every = 60000,
}

local ask_every = 2000
-- how often it is looked whether there are runs by now, in milliseconds
local look_every = 2000

local client, subscription, unwatch, text, cost, running, running_timer, retry_timer, pending, asked_at
local started = false
-- the folder of projects that is to come, and when it was looked for last
local awaited, looked_at

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
    if not client then
      return
    end
    local asked, zone = client, require('runlog.zone').name()
    client:request('executions/stats', { where = 'startedAt >= today', timezone = zone }, function(err, stats)
      if not err and client == asked then
        cost = stats.totalCostUSD
        draw()
      end
    end)
    client:request('executions/count', { where = 'status = running and not stale' }, function(err, counted)
      if not err and client == asked then
        running = counted.count
        draw()
      end
      if (running or 0) > 0 and not running_timer then
        running_timer = vim.defer_fn(function()
          running_timer = nil
          ask()
        end, M.running_every)
      end
    end)
  end, asked_at and math.max(0, asked_at + ask_every - vim.uv.now()) or 0)
end

---@param now integer
---@return integer how many seconds the day still has: it may be one of 23 hours, or of 25
function M.left_of_day(now)
  local date = os.date('*t', now) --[[@as osdate]]
  return os.time({ year = date.year, month = date.month, day = date.day + 1, hour = 0 }) - now
end

local function at_midnight()
  local now = os.time()
  require('runlog.clock').after(now + M.left_of_day(now), function()
    if client then
      ask()
    else
      M.start()
    end
    at_midnight()
  end)
end

---What is shown is of no use while the program is given up; it is asked once it is there.
local function watch()
  if client.state == 'ready' then
    ask()
  elseif client.state == 'missing' or client.state == 'failed' then
    cost, running = nil, nil
    draw()
    retry_timer = retry_timer or vim.defer_fn(function()
      retry_timer = nil
      if client then
        client:retry()
      end
    end, M.retry_every)
  end
end

local function stop()
  if client then
    unwatch()
    subscription.close()
    client:release()
    client = nil
  end
  cost, running = nil, nil
  draw()
end

---Looks which runs those of the current folder are.
function M.start()
  local folder = vim.fn.getcwd()
  awaited = nil
  require('runlog.roots').find(folder, false, function(roots, trouble)
    if folder ~= vim.fn.getcwd() then
      return -- it is looked again
    end
    -- nothing is started where there are no runs, or where nobody knows which
    local root = not trouble and #roots == 1 and roots[1] or nil
    if root and root.given and client and client.root.path == root.path then
      return
    end
    stop()
    if not root then
      return
    elseif not root.given then
      awaited, looked_at = root.path, vim.uv.now()
      return
    end
    client = Client.of(root)
    unwatch = client:watch(watch)
    client:retain()
    subscription = client:subscribe({}, ask)
    watch()
  end)
end

---Starts where the first run has come in the meantime.
function M.look()
  looked_at = vim.uv.now()
  if awaited and vim.uv.fs_stat(awaited) then
    vim.schedule(M.start)
  end
end

---@return string
function M.text()
  if not started then
    started = true
    vim.schedule(function()
      M.start()
      at_midnight()
      vim.api.nvim_create_autocmd('DirChanged', {
        group = vim.api.nvim_create_augroup('runlog.today', {}),
        callback = M.start,
      })
    end)
  elseif awaited and vim.uv.now() - looked_at >= look_every then
    M.look()
  end
  return text or ''
end

return M
