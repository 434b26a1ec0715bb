-- A filter is written in a window of its own, as high as it needs; while it is typed the daemon says what is wrong
-- with it, where, and what could stand at the cursor.
local format = require('runlog.format')

local M = {}

local namespace = vim.api.nvim_create_namespace('runlog.filter')

---@param err table of filter/check
---@return string
local function explain(err)
  local text = ('expected %s, found %s'):format(err.expected, err.found)
  return err.nearest and ('%s; did you mean %s?'):format(text, err.nearest) or text
end

---@param text string
---@param width integer in cells
---@return string[] the text in lines that are no wider, unless a word is
local function wrapped(text, width)
  local lines = {}
  for word in text:gmatch('%S+') do
    local longer = #lines > 0 and lines[#lines] .. ' ' .. word
    if longer and vim.fn.strdisplaywidth(longer) <= width then
      lines[#lines] = longer
    else
      lines[#lines + 1] = word
    end
  end
  return lines
end

---@param list runlog.List
function M.edit(list)
  local client = list.client
  local buf = vim.api.nvim_create_buf(false, true)
  vim.bo[buf].bufhidden = 'wipe'
  vim.bo[buf].filetype = 'runlog-filter'
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, { list.where or '' })
  local from = vim.api.nvim_get_current_win()
  local win = vim.api.nvim_open_win(buf, true, {
    relative = 'win',
    win = from,
    row = 0,
    col = 0,
    width = math.max(20, vim.api.nvim_win_get_width(from) - 2),
    height = 2,
    style = 'minimal',
    border = 'rounded',
    title = ' Filter: <Tab> completes, <CR> applies, <Esc> leaves ',
  })
  vim.api.nvim_set_option_value('wrap', true, { scope = 'local', win = win })
  local cancels = {}
  local refused -- the text that was to be applied and cannot be
  local said = {} -- the lines below the text

  local function close()
    vim.cmd.stopinsert()
    if vim.api.nvim_win_is_valid(win) then
      vim.api.nvim_win_close(win, true)
    end
    if vim.api.nvim_win_is_valid(from) then
      vim.api.nvim_set_current_win(from)
    end
  end

  ---@return string what is written, after it is put on one line: what is pasted may have several
  local function text()
    local lines = vim.api.nvim_buf_get_lines(buf, 0, -1, false)
    if #lines > 1 then
      lines = { table.concat(lines, ' ') }
      vim.api.nvim_buf_set_lines(buf, 0, -1, false, lines)
      vim.api.nvim_win_set_cursor(win, { 1, #lines[1] })
    end
    return lines[1]
  end

  ---@return integer how many rows the text has, with the cell behind it, where the cursor is
  local function rows()
    return math.ceil((vim.fn.strdisplaywidth(text()) + 1) / vim.api.nvim_win_get_width(win))
  end

  ---Makes room for the text and for what is said of it.
  local function fit()
    local height = math.min(rows() + math.max(1, #said), vim.o.lines - 4)
    if height ~= vim.api.nvim_win_get_height(win) then
      vim.api.nvim_win_set_height(win, height)
      vim.api.nvim_win_call(win, function()
        vim.fn.winrestview({ topline = 1, skipcol = 0 })
      end)
    end
  end

  ---@param err table?
  local function show(err)
    vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
    said = {}
    if err then
      local line, width = text(), vim.api.nvim_win_get_width(win)
      local first, last = format.byte_of_utf16(line, err.offset), format.byte_of_utf16(line, err['end'])
      local below = (' '):rep(vim.fn.strdisplaywidth(line:sub(1, first))) .. '^ ' .. explain(err)
      -- at the left where there is no room for all of it below the mistake, which is marked anyway
      said = vim.fn.strdisplaywidth(below) <= width and rows() == 1 and { below } or wrapped(explain(err), width)
      vim.api.nvim_buf_set_extmark(buf, namespace, 0, first, {
        end_col = math.max(first, last),
        hl_group = 'RunlogFilterError',
        virt_lines = vim.tbl_map(function(part)
          return { { part, 'RunlogError' } }
        end, said),
      })
    end
    fit()
  end

  ---@param kind string of which only the last one counts
  ---@param offset integer?
  ---@param done fun(checked: table)
  local function check(kind, offset, done)
    if cancels[kind] then
      cancels[kind]()
    end
    local asked = text()
    cancels[kind] = client:request('filter/check', { text = asked, offset = offset }, function(err, checked)
      cancels[kind] = nil
      if not vim.api.nvim_buf_is_valid(buf) or text() ~= asked then
        return
      elseif err then
        vim.notify('runlog: ' .. err.message, vim.log.levels.ERROR)
      else
        done(checked)
      end
    end)
  end

  local function map(modes, key, fn)
    vim.keymap.set(modes, key, fn, { buffer = buf, nowait = true })
  end
  map({ 'i', 'n' }, '<CR>', function()
    if vim.fn.pumvisible() == 1 and vim.fn.complete_info({ 'selected' }).selected >= 0 then
      vim.api.nvim_feedkeys(vim.keycode('<C-y>'), 'n', false)
      return
    end
    check('apply', nil, function(checked)
      if checked.ok then
        local where = vim.trim(text())
        close()
        list:set_where(where)
      else
        refused = text()
        show(checked.error)
      end
    end)
  end)
  map('i', '<Tab>', function()
    if vim.fn.pumvisible() == 1 then
      vim.api.nvim_feedkeys(vim.keycode('<C-n>'), 'n', false)
      return
    end
    local line, column = text(), vim.fn.col('.') - 1
    check('complete', format.utf16_of_byte(line, column), function(checked)
      if vim.fn.mode() ~= 'i' or vim.fn.col('.') - 1 ~= column or #checked.completions == 0 then
        return
      end
      local items = {}
      for _, completion in ipairs(checked.completions) do
        items[#items + 1] = { word = completion.text, menu = completion.detail, kind = completion.kind:sub(1, 1) }
      end
      vim.fn.complete(format.byte_of_utf16(line, checked.completions[1].from) + 1, items)
    end)
  end)
  map('n', '<Esc>', close)
  map('n', 'q', close)
  map('i', '<C-c>', close)
  map('i', '<Esc>', function()
    if vim.fn.pumvisible() == 1 then
      vim.api.nvim_feedkeys(vim.keycode('<C-e>'), 'n', false)
    else
      close()
    end
  end)
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'TextChanged', 'TextChangedP' }, {
    buffer = buf,
    callback = function()
      fit()
      if text() == '' then
        show(nil)
        return
      end
      check('mistakes', nil, function(checked)
        if text() == refused then
          return
        end
        -- what is not finished is no mistake yet
        local err = checked.error
        show(err and format.byte_of_utf16(text(), err['end']) < #text() and err or nil)
      end)
    end,
  })
  fit()
  vim.cmd('startinsert!')
end

return M
