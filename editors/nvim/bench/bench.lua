vim.opt.rtp:append(vim.env.RUNLOG_PLUGIN)
local t = dofile(vim.env.RUNLOG_PLUGIN .. '/test/harness.lua')

local count = tonumber(_G.arg[1])
_G.arg = {}
local load = vim.env.RUNLOG_PLUGIN .. '/../bench/load.py'
local seconds, rate = 20, 50

---@param values number[]
local function percentile(values, share)
  table.sort(values)
  return values[math.max(1, math.ceil(share * #values))] or 0 / 0
end

-- the moment at which a row is on the screen: the end of the redraw that shows it
local watch = [[
  local namespace = vim.api.nvim_create_namespace('bench')
  _G.bench_seen = {}
  local list, win = ...
  list = require('runlog.list').of(list)
  _G.bench_list = list
  vim.api.nvim_set_decoration_provider(namespace, {
    on_end = function()
      local now = vim.uv.hrtime()
      for _, line in ipairs(vim.api.nvim_buf_get_lines(list.buf, vim.fn.line('w0', win) - 1, vim.fn.line('w$', win), false)) do
        local label = line:match('bench%-%d+%-')
        if label and not _G.bench_seen[label] then
          _G.bench_seen[label] = now
        end
      end
    end,
  })
]]

t.run({
  { ('%d runs, %d saves a second'):format(count, rate), function()
    local root = t.folder('work') .. '/projects'
    vim.fn.mkdir(root, 'p')
    vim.system({ 'python3', load, 'make', root, tostring(count) }):wait()
    local editor = t.editor({ cwd = vim.fs.dirname(root), width = 160, height = 50 })
    local from = vim.uv.hrtime()
    editor:type(':Runlog<CR>')
    t.until_('the list', function()
      return #editor:runs() > 0
    end, 120)
    print(('first list, the index being built: %.2f s'):format((vim.uv.hrtime() - from) / 1e9))

    -- somebody works in another window, and the list follows
    local buf, win = unpack(editor:lua('return { vim.api.nvim_get_current_buf(), vim.api.nvim_get_current_win() }'))
    editor:type(':botright 5new<CR>')
    vim.wait(500)
    editor:lua(watch, buf, win)
    local before = editor:lua('return { bench_list.asked, bench_list.paints }')
    local began = vim.uv.hrtime()
    local out = t.place .. '/saves'
    local saver = vim.system({ 'python3', load, 'save', root, tostring(seconds), tostring(rate), out }, { text = true })
    vim.wait(seconds * 1000 + 5000, function()
      return saver:is_closing()
    end, 50)
    local said = saver:wait()
    local after = editor:lua('return { bench_list.asked, bench_list.paints }')
    local took = (vim.uv.hrtime() - began) / 1e9
    vim.wait(1000)
    local seen = editor:lua('return bench_seen')
    local latencies, missing = {}, 0
    for line in io.lines(out) do
      local label, moment = line:match('^(%S+) (%d+)')
      if seen[label] then
        latencies[#latencies + 1] = (seen[label] - tonumber(moment)) / 1e6
      else
        missing = missing + 1
      end
    end
    print(vim.trim(said.stdout .. said.stderr))
    print(('rename to painted row, %d rows, %d overwritten before: median %.0f ms, 95th %.0f ms, most %.0f ms'):format(
      #latencies, missing, percentile(latencies, 0.5), percentile(latencies, 0.95), percentile(latencies, 1)))
    print(('lists asked for: %.2f a second; rows written: %.2f times a second'):format(
      (after[1] - before[1]) / took, (after[2] - before[2]) / took))
    assert(#latencies > seconds * rate * 0.8, 'too few rows were painted')
    assert(percentile(latencies, 0.95) < 300, 'the 95th percentile is too high')
    assert((after[1] - before[1]) / took <= 2, 'the list is asked for too often')

    -- somebody reads the list
    editor:type('<C-w>k40Gzt10j')
    vim.wait(1000)
    local view = editor:view()
    vim.system({ 'python3', load, 'new', root, '500', tostring(rate), out }):wait()
    t.until_('500 arrivals', function()
      return editor:lua('return bench_list.total') >= count + 500 + seconds * rate / 2
    end)
    vim.wait(1500)
    local now = editor:view()
    print(('after 500 arrivals: cursor from line %d to %d, on the same run: %s; same first line: %s'):format(
      view.lnum, now.lnum, tostring(view.cursor == now.cursor), tostring(view.top == now.top)))
    t.equal({ now.cursor, now.top }, { view.cursor, view.top }, 'where the window is')
  end, within = 600000 },
})
