-- What is done to runs, from a list and from a run's view.
local format = require('runlog.format')

local M = {
  -- how many runs one request has back: the daemon takes no more entries
  restored_at_once = 1000,
}

-- how many runs are deleted at a time: the daemon refuses more than 1,024 requests that are not answered
local at_once = 100
-- how long a note may take to be read or written, in milliseconds
local note_within = 10000

---@param err table
local function refused(err)
  vim.notify('runlog: ' .. err.message, vim.log.levels.ERROR)
end

local function name(summary)
  return format.shorten(format.line(summary.label or summary.id), 40)
end

local function key_of(projectId, id)
  return projectId .. '/' .. id
end

---@param projectId string
---@param id string
---@return table params with which `executions/list` has that run alone
function M.naming(projectId, id)
  return { projectId = projectId, where = 'id = ' .. require('runlog.json').quote(id), limit = 1 }
end

---What is said of a deletion.
---@param rows table[] what was to be deleted
---@param went integer how many were
---@param refusals string[]
---@param unknown integer how many of several may have gone
---@param undo boolean whether there is one
local function outcome(rows, went, refusals, unknown, undo)
  local parts = {}
  if went > 0 then
    local what = #rows == 1 and name(rows[1]) or went == #rows and went .. ' runs' or went .. ' of ' .. #rows .. ' runs'
    parts[#parts + 1] = ('Deleted %s%s.'):format(what, undo and '; u has it back' or '')
  end
  if #refusals > 0 then
    parts[#parts + 1] = #rows == 1 and 'runlog: ' .. refusals[1] or ('%d refused: %s'):format(#refusals, refusals[1])
  end
  if unknown > 0 then
    parts[#parts + 1] = ('%d unknown: the daemon ended.'):format(unknown)
  end
  local missing = #rows - went - #refusals - unknown
  if missing > 0 then
    parts[#parts + 1] = #rows == 1 and 'It is not there any more.' or missing .. ' not there any more.'
  end
  return table.concat(parts, ' ')
end

---A deletion or an undo is done: the undo that waits for it begins.
---@param client runlog.Client
local function over(client)
  client.under_way = client.under_way - 1
  if client.undo_wanted and client.under_way == 0 then
    client.undo_wanted = false
    M.undo(client)
  end
end

---@param client runlog.Client
---@param rows table[]
function M.delete(client, rows)
  if #rows == 0 then
    return
  end
  local deletion = { entries = {}, keys = {} }
  local refusals, unknown, went, asked, left = {}, 0, 0, 0, #rows
  client.under_way = client.under_way + 1
  local function ask()
    asked = asked + 1
    local row = rows[asked]
    if not row then
      return
    end
    client:request('executions/delete', { projectId = row.projectId, executionId = row.id }, function(err, result)
      left = left - 1
      if err and err.data.outcome == 'unknown' and #rows > 1 then
        unknown = unknown + 1
      elseif err then
        refusals[#refusals + 1] = err.message
      elseif result.deleted then
        went = went + 1
        if result.entry then
          table.insert(deletion.entries, result.entry)
          deletion.keys[key_of(row.projectId, row.id)] = true
        end
      end
      if left > 0 then
        return ask()
      end
      local undo = #deletion.entries > 0
      if undo then
        table.insert(client.deleted, deletion)
        client:tell()
      end
      local trouble = #refusals + unknown > 0
      vim.notify(outcome(rows, went, refusals, unknown, undo), trouble and vim.log.levels.ERROR or nil)
      over(client)
    end)
  end
  for _ = 1, math.min(at_once, #rows) do
    ask()
  end
end

---@param client runlog.Client
---@param projectId string
---@param id string
---@return boolean whether `undo` has this run back
function M.undoes(client, projectId, id)
  local last = client.deleted[#client.deleted]
  return last ~= nil and last.keys[key_of(projectId, id)] ~= nil
end

---@param client runlog.Client
---@param deletion { entries: string[], keys: table<string, true> }
---@param back integer how many are back already
---@param again integer how many cannot be, as there is such a run again
local function restore(client, deletion, back, again)
  local entries = vim.list_slice(deletion.entries, 1, M.restored_at_once)
  client:request('executions/restore', { entries = entries }, function(err, result)
    local left
    if not err then
      back = back + result.count
      left = vim.list_slice(deletion.entries, M.restored_at_once + 1)
    elseif err.data.kind == 'entry-not-found' or err.data.kind == 'already-exists' then
      -- one is of no use any more: the others are to be had all the same, and what was deleted before
      again = again + (err.data.kind == 'already-exists' and 1 or 0)
      left = vim.tbl_filter(function(entry)
        return entry ~= err.data.entry
      end, deletion.entries)
    end
    if not left or #left == #deletion.entries then
      table.insert(client.deleted, deletion)
      client.undo_wanted = false -- it would be refused likewise
      over(client)
      return refused(err)
    elseif #left > 0 then
      return restore(client, { entries = left, keys = deletion.keys }, back, again)
    end
    local said = {}
    if back > 0 then
      said[1] = ('%d %s back.'):format(back, back == 1 and 'run is' or 'runs are')
    end
    if again > 0 then
      said[#said + 1] = ('%d %s there again; the old ones stay in the trash.'):format(again, again == 1 and 'is' or 'are')
    end
    client:tell()
    vim.notify(#said > 0 and table.concat(said, ' ') or 'It is not in the trash any more.')
    over(client)
  end)
end

---@param client runlog.Client
function M.undo(client)
  if client.under_way > 0 then
    client.undo_wanted = true -- as soon as it is done
    return
  end
  local deletion = table.remove(client.deleted)
  if not deletion then
    vim.notify('Nothing was deleted here.')
    return
  end
  client.under_way = client.under_way + 1
  restore(client, deletion, 0, 0)
end

---@param client runlog.Client
---@param row table?
---@param change table
---@param done? fun(err: table?)
local function annotate(client, row, change, done)
  done = done or function(err)
    if err then
      refused(err)
    end
  end
  if not client:can('executions/annotate') then
    return done({ message = 'this version of the program has no pins, tags and notes; update it.' })
  end
  change.projectId, change.executionId = row.projectId, row.id
  client:request('executions/annotate', change, done)
end

---@param client runlog.Client
---@param row table?
function M.pin(client, row)
  if row then
    annotate(client, row, { pinned = not row.pinned })
  end
end

---@param text string
---@return string[] what is between its commas
local function pieces(text)
  local found = {}
  for _, piece in ipairs(vim.split(text, ',')) do
    piece = vim.trim(piece)
    if piece ~= '' then
      found[#found + 1] = piece
    end
  end
  return found
end

---@param list string[]
---@param one fun(text: string): boolean
local function those(list, one)
  local found = vim.tbl_filter(one, list)
  return #found > 0 and found or nil -- Lua cannot say an empty array in JSON
end

---@param client runlog.Client
---@param row table?
function M.tags(client, row)
  if not row then
    return
  end
  local old = row.tags or {}
  local shown = table.concat(old, ', ')
  vim.ui.input({ prompt = 'Tags, with commas between them: ', default = shown }, function(text)
    if not text then
      return
    end
    local before, after = pieces(shown), pieces(text)
    local added = those(after, function(piece)
      return not vim.list_contains(before, piece)
    end)
    -- a tag may have commas of its own: it goes once nothing of it is left
    local removed = those(old, function(tag)
      local parts = pieces(tag)
      return #parts > 0 and not those(parts, function(piece)
        return vim.list_contains(after, piece)
      end)
    end)
    if added or removed then
      annotate(client, row, { addTags = added, removeTags = removed })
    end
  end)
end

---@param client runlog.Client
---@param row table
---@param done fun(err: table?, note: string?) with what the note is by now, if there is such a run
local function ask_note(client, row, done)
  client:request('executions/list', M.naming(row.projectId, row.id), function(err, answer)
    local summary = answer and answer.executions[1]
    done(err, summary and (summary.note or ''))
  end)
end

---@param ask fun(done: fun(...)) calls `done` with the answer
---@return boolean answered whether it came in time
---@return any ... what it is
local function await(ask)
  local answer
  ask(function(...)
    answer = { ... }
  end)
  local answered = vim.wait(note_within, function()
    return answer ~= nil
  end, 10)
  return answered, unpack(answer or {}, 1, 2)
end

---Writes a note. Waits, so that `:wq` loses nothing.
---@param client runlog.Client
---@param row table
---@param text string
---@param shown string what the note was when it was shown
---@param changed string? what to say instead where somebody else has changed it since; otherwise it is written all the same
---@return string? trouble
local function write_note(client, row, text, shown, changed)
  local answered, trouble = await(function(done)
    ask_note(client, row, function(err, now)
      if err then
        done(err)
      elseif changed and now and now ~= shown and now ~= text then
        done({ message = changed })
      else
        annotate(client, row, { note = text }, done)
      end
    end)
  end)
  if not answered then
    return 'The note is not written yet: the daemon does not answer.'
  end
  return trouble and trouble.message
end

---@type table<string, integer> buffers of notes that are edited
local notes = {}

---Opens a window for a note that an input would change: it has blanks in place of line ends and other controls.
---@param client runlog.Client
---@param row table
local function edit_note(client, row)
  local key = client.root.path .. '/' .. key_of(row.projectId, row.id)
  if notes[key] then
    vim.cmd('sbuffer ' .. notes[key])
    return
  end
  local buf = vim.api.nvim_create_buf(false, false)
  notes[key] = buf
  client:retain() -- the list may be closed before it is written
  pcall(vim.api.nvim_buf_set_name, buf, 'runlog-note://' .. key)
  vim.bo[buf].buftype = 'acwrite'
  vim.bo[buf].bufhidden = 'wipe'
  vim.bo[buf].swapfile = false
  local note -- what was there when it was shown or written last
  local function fill(now)
    note = now
    local levels = vim.bo[buf].undolevels
    vim.bo[buf].undolevels = -1
    vim.api.nvim_buf_set_lines(buf, 0, -1, false, vim.split(note, '\n'))
    vim.bo[buf].undolevels = levels
    vim.bo[buf].modified = false
  end
  fill(row.note)
  local function read()
    local answered, err, now = await(function(done)
      ask_note(client, row, done)
    end)
    fill(now or note)
    if not now then
      local why = err and err.message or answered and 'there is no such run any more.' or 'the daemon does not answer.'
      refused({ message = 'this is the note as it was: ' .. why })
    end
  end
  local function write()
    local text = table.concat(vim.api.nvim_buf_get_lines(buf, 0, -1, false), '\n')
    local changed = vim.v.cmdbang == 0 and 'Somebody else has changed the note: :w! writes over it, :e! shows it.' or nil
    if text ~= note then
      local trouble = write_note(client, row, text, note, changed)
      if trouble then
        return refused({ message = trouble })
      end
    end
    note = text
    vim.bo[buf].modified = false
  end
  for event, callback in pairs({
    BufReadCmd = read,
    BufWriteCmd = write,
    BufWipeout = function()
      notes[key] = nil
      client:release()
    end,
  }) do
    vim.api.nvim_create_autocmd(event, { buffer = buf, callback = callback })
  end
  vim.cmd('sbuffer ' .. buf)
  vim.api.nvim_set_option_value('winbar', ' Note: :w keeps it, :q leaves it as it was', { scope = 'local', win = 0 })
end

---@param client runlog.Client
---@param row table?
function M.note(client, row)
  if not row then
    return
  elseif row.note and row.note:find('%c') then
    return edit_note(client, row)
  end
  vim.ui.input({ prompt = 'Note: ', default = row.note }, function(text)
    local shown = row.note or ''
    if text and text ~= shown then
      local changed = 'Somebody else has changed the note; it is not written: ' .. text
      local trouble = write_note(client, row, text, shown, changed)
      if trouble then
        refused({ message = trouble })
      end
    end
  end)
end

---@param client runlog.Client
---@param row table
function M.open_file(client, row)
  local root = client.server and client.server.root.path or client.root.path
  vim.cmd.edit(vim.fn.fnameescape(('%s/%s/executions/%s.json'):format(root, row.projectId, row.id)))
end

---Closes the window, or in the last one goes back to what it showed before.
function M.close()
  local windows = vim.tbl_filter(function(win)
    return vim.api.nvim_win_get_config(win).relative == ''
  end, vim.api.nvim_list_wins())
  if #windows > 1 then
    vim.cmd.close()
  else
    local alternate = vim.fn.bufnr('#')
    if alternate > 0 and (vim.bo[alternate].buflisted or vim.bo[alternate].filetype == 'runlog') then
      vim.cmd.buffer(alternate)
    else
      vim.cmd.enew()
    end
  end
end

return M
