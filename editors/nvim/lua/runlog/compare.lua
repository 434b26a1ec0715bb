-- Two runs beside each other in a tab, in the editor's own diff.
local config = require('runlog.config')
local format = require('runlog.format')
local list_view = require('runlog.list')
local record = require('runlog.record')

local M = {}

---What tells the second from the first, in numbers that the daemon knows.
---@param diff table
---@return string
local function numbers(diff)
  if diff.equal then
    return 'They are the same.'
  end
  local parts = {}
  local function add(name, delta, spell)
    local difference = delta and delta.difference
    if difference and difference ~= 0 then
      parts[#parts + 1] = ('%s %s%s'):format(name, difference > 0 and '+' or '−', spell(math.abs(difference)))
    end
  end
  add('cost', diff.costUSD, format.cost)
  add('duration', diff.duration, format.duration)
  add('tokens', diff.totalTokens, format.count)
  local counts = diff.stepCounts
  if counts.onlyA + counts.onlyB > 0 then
    parts[#parts + 1] = ('steps −%d +%d'):format(counts.onlyA, counts.onlyB)
  end
  return table.concat(parts, ', ')
end

---@param client runlog.Client
---@param a table summary
---@param b table summary
function M.open(client, a, b)
  local function which(summary)
    return { projectId = summary.projectId, executionId = summary.id }
  end
  local records, left = {}, 2
  local diff

  local function show()
    for i, summary in ipairs({ a, b }) do
      local buf = vim.api.nvim_create_buf(false, true)
      local texts = {}
      for _, line in ipairs(record.lines(summary, records[i], list_view.status(summary), true)) do
        texts[#texts + 1] = line.text
      end
      vim.api.nvim_buf_set_lines(buf, 0, -1, false, texts)
      vim.bo[buf].modifiable = false
      vim.bo[buf].bufhidden = 'wipe'
      pcall(vim.api.nvim_buf_set_name, buf, ('runlog-compare://%d/%s/%s'):format(buf, summary.projectId, summary.id))
      vim.cmd((i == 1 and 'tab' or 'rightbelow vertical') .. ' sbuffer ' .. buf)
      vim.keymap.set('n', 'q', function()
        if #vim.api.nvim_list_tabpages() > 1 then
          vim.cmd.tabclose()
        else
          require('runlog.actions').close()
        end
      end, { buffer = buf, nowait = true, desc = 'runlog: close the comparison' })
      list_view.dress()
      vim.cmd.diffthis()
      local bar = format.line(('%s/%s'):format(summary.projectId, summary.id))
      if i == 2 then
        bar = bar .. '  ' .. numbers(diff)
      end
      vim.api.nvim_set_option_value('winbar', ' ' .. bar:gsub('%%', '%%%%'), { scope = 'local', win = 0 })
    end
    vim.cmd('wincmd =')
  end

  client:request('executions/diff', { a = which(a), b = which(b) }, function(err, answer)
    if err then
      vim.notify('runlog: ' .. err.message, vim.log.levels.ERROR)
      return
    end
    diff = answer
    for i, summary in ipairs({ a, b }) do
      record.get(client, which(summary), 4 * config.piece, function(trouble, read)
        if trouble then
          vim.notify('runlog: ' .. trouble.message, vim.log.levels.ERROR)
          return
        end
        records[i] = read
        left = left - 1
        if left == 0 then
          show()
        end
      end)
    end
  end)
end

return M
