vim.opt.rtp:append(vim.env.RUNLOG_PLUGIN)
local t = dofile(vim.env.RUNLOG_PLUGIN .. '/test/harness.lua')

local function check(name, fn)
  return { name, fn }
end

---What `executions/list` says, as the list shows it.
local function listed(root, params)
  local names = {}
  for _, row in ipairs(t.ask(root, 'executions/list', vim.tbl_extend('force', { limit = 1000, sync = true }, params or {})).executions) do
    names[#names + 1] = row.projectId .. '/' .. row.id
  end
  return names
end

---Waits until the list shows just what the daemon lists.
local function wait_equal(editor, root, params)
  local wanted = listed(root, params)
  local ok = pcall(t.until_, '', function()
    return vim.deep_equal(editor:runs(), wanted)
  end, 15)
  if not ok then
    t.equal(editor:runs(), wanted, 'the list')
  end
end

local function shared_daemons(root)
  return t.processes('--socket --detached --projects ' .. root)
end

t.run({
  check('list: newest first, with status, time, cost and label; then a run is opened', function()
    local root = t.root(5)
    local editor = t.list(root)
    t.equal(editor:runs(), listed(root), 'the list')
    local first = editor:lines()[1]
    for _, part in ipairs({ 'completed', '2026-02-01 01:05', '1.5 s', '$0.01', 'Task number 5' }) do
      t.has(first, part, 'the first row')
    end
    t.has(editor:lines()[3], 'It broke.', 'a failed row')
    editor:wait_screen('5 runs')
    editor:type('2j<CR>')
    editor:wait_text('Output of exec-0003')
    t.has(editor:text(), 'failed', 'the run')
    t.has(editor:text(), 'Error\n  It broke.', 'the run')
    t.has(editor:text(), 'Input\n  Task number 3', 'the run')
    editor:type('q')
    t.until_('the list again', function()
      return #editor:runs() == 5
    end)
    t.has(editor:view().cursor, 'Task number 3', 'the cursor line')
  end),

  check('run: folds by step, steps gone to by ]] and [[, JSON in its own order and spelling', function()
    local root = t.root(1)
    t.save(root, 'website', 'exec-steps', { startedAt = t.minute(99) }, [=["steps":[
      {"id":"a","nodeId":"collect","nodeType":"agent","status":"completed","duration":14492,"costUSD":0.0100,
       "input":{"zebra":1.50,"apple":[1,2,{}],"none":null},"output":"first\nsecond"},
      {"id":"b","nodeId":"write","status":"failed","error":"no pen","output":[]}]]=])
    local editor = t.list(root)
    editor:type('gg<CR>')
    editor:wait_text('Steps (2)')
    local text = editor:text()
    t.has(text, '          "zebra": 1.50,\n          "apple": [\n            1,\n            2,\n            {}\n          ],\n          "none": null', 'the step')
    t.has(text, '        first\n        second', 'the step')
    t.has(text, '14.4 s  $0.01', 'the step')
    local function closed(part)
      return editor:lua([[
        for i, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, false)) do
          if line:find(..., 1, true) then return vim.fn.foldclosed(i) ~= -1 end
        end]], part)
    end
    t.equal(closed('collect'), true, 'the step is folded')
    t.equal(closed('Output of'), false, 'the output is folded')
    editor:type('gg]]')
    t.until_('the first step', function()
      return editor:view().cursor:find('collect', 1, true)
    end)
    editor:type('<CR>')
    t.until_('its fold to open', function()
      return not closed('collect')
    end)
    editor:type(']]')
    t.until_('the second step', function()
      return editor:view().cursor:find('write', 1, true)
    end)
  end),

  check('run: a large text comes piece by piece, whole in the end', function()
    local root = t.root(1)
    local text = {}
    for i = 1, 3000 do
      text[i] = ('line %04d ä😀'):format(i)
    end
    local steps = {}
    for i = 1, 150 do
      steps[i] = { id = 's' .. i, nodeId = 'node-' .. i, output = ('o'):rep(500) }
    end
    t.save(root, 'website', 'exec-large', { startedAt = t.minute(99), output = table.concat(text, '\n'), steps = steps })
    local editor = t.list(root, {
      setup = ("lua require('runlog').setup({ command = %q, piece = 20000 })"):format(t.binary),
    })
    editor:type('gg<CR>')
    editor:wait_text('characters are shown; <CR> loads more')
    editor:type('zR')
    local function load_all(what)
      local pieces = 0
      t.until_('all of it', function()
        local left = editor:lua([[
          for i, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, false)) do
            if line:find(..., 1, true) then
              vim.api.nvim_win_set_cursor(0, { i, 0 })
              return true
            end
          end]], what) == true
        if left then
          local before = #editor:lines()
          editor:type('<CR>')
          t.until_('more lines', function()
            return #editor:lines() ~= before
          end)
          pieces = pieces + 1
        end
        return not left
      end, 30)
      return pieces
    end
    -- pressed twice before there is an answer
    editor:lua([[
      vim.fn.search('characters are shown')
      vim.cmd.normal(vim.keycode('<CR><CR>'))]])
    local pieces = load_all('characters are shown')
    assert(pieces <= 3, pieces .. ' pieces')
    t.has(editor:text(), '  ' .. table.concat(text, '\n  '), 'the output')
    load_all('elements are shown')
    t.has(editor:text(), 'node-150', 'the last step')
  end),

  check('run: what was loaded stays while it is recorded, and so does the place in it', function()
    local root = t.root(1)
    local function lines(name, count)
      local text = {}
      for i = 1, count do
        text[i] = ('%s line %05d'):format(name, i)
      end
      return table.concat(text, '\n')
    end
    local function save(round, into)
      local steps = {}
      for i = 1, 40 + round do
        steps[i] = {
          id = 's' .. i,
          nodeId = 'node-' .. i,
          status = i == 40 and round == 0 and 'running' or 'completed',
          output = lines('step', 20),
        }
      end
      return t.save(into or root, 'website', 'exec-live', {
        startedAt = t.minute(99),
        status = 'running',
        input = lines('input', 10 + 10 * round),
        output = lines('output', 12000 + 100 * round),
        steps = steps,
      })
    end
    save(0)
    local editor = t.list(root, {
      setup = ("lua require('runlog').setup({ command = %q, piece = 20000 })"):format(t.binary),
    })
    editor:type('gg<CR>')
    editor:wait_text('characters are shown')
    local function count(words)
      return select(2, editor:text():gsub(words, ''))
    end
    local function load_more(what)
      local before = #editor:lines()
      editor:lua([[vim.fn.search(..., 'w')]], what)
      editor:type('<CR>')
      t.until_('more of it', function()
        return #editor:lines() > before
      end)
    end
    for _ = 1, 6 do
      load_more('of .* characters are shown')
    end
    if editor:text():find('elements are shown', 1, true) then
      load_more('elements are shown')
    end
    editor:lua([[vim.fn.search('^ *3  completed', 'w')]])
    editor:type('<CR>')
    t.until_('the fold to open', function()
      return editor:lua([[return vim.fn.foldclosed('.')]]) == -1
    end)
    local outputs, steps = count('output line'), count('node%-')
    editor:lua([[vim.fn.search(..., 'w') vim.cmd.normal({ 'zt4j', bang = true })]], ('output line %05d'):format(outputs - 20))
    local before = editor:view()
    for round = 1, 3 do
      save(round)
      editor:wait_text(('input line %05d'):format(10 + 10 * round))
      local after = editor:view()
      t.equal({ after.cursor, after.top }, { before.cursor, before.top }, 'where the window is')
      assert(count('output line') >= outputs, ('%d lines of %d'):format(count('output line'), outputs))
      assert(count('node%-') >= steps, ('%d steps of %d'):format(count('node%-'), steps))
    end
    -- saved between two pieces, of a reading and of what somebody loads
    editor:lua([[
      local client = require('runlog.client').all()[1]
      local request = client.request
      client.request = function(self, method, params, ...)
        if _G.swap and params.fields then
          assert(vim.uv.fs_rename(unpack(_G.swap)))
          _G.swap = nil
        end
        return request(self, method, params, ...)
      end]])
    local function swap(round)
      editor:lua('_G.swap = { ... }', save(round, t.folder('aside')), root .. '/website/executions/exec-live.json')
    end
    swap(4)
    editor:lua([[vim.fn.search(..., 'w')]], 'of .* characters are shown')
    editor:type('<CR>')
    editor:wait_text(('input line %05d'):format(10 + 10 * 4))
    assert(count('output line') > outputs, ('%d lines after %d'):format(count('output line'), outputs))
    outputs = count('output line')
    editor:lua([[vim.fn.search(..., 'w') vim.cmd.normal({ 'zt4j', bang = true })]], 'output line 00700')
    before = editor:view()
    swap(6)
    save(5)
    editor:wait_text(('input line %05d'):format(10 + 10 * 6))
    local after = editor:view()
    t.equal({ after.cursor, after.top }, { before.cursor, before.top }, 'where the window is')
    assert(count('output line') >= outputs, ('%d lines of %d'):format(count('output line'), outputs))
    t.equal(editor:lua([[
      local open = {}
      for i = 1, vim.fn.line('$') do
        local number = tonumber(vim.fn.getline(i):match('^ *(%d+)  completed'))
        if number and vim.fn.foldclosed(i) == -1 then open[#open + 1] = number end
      end
      return open]]), { 3 }, 'the open steps')
    t.equal(editor:lua([[
      local function levels()
        local found = {}
        for i = 1, vim.fn.line('$') do found[i] = vim.fn.foldlevel(i) end
        return found
      end
      local before = levels()
      vim.cmd('normal! zX')
      return vim.deep_equal(before, levels())]]), true, 'the levels of the folds are right')
  end),

  check('live: a run that the engine saves appears, changes and goes, and nothing moves', function()
    local root = t.root(60)
    local editor = t.list(root)
    t.until_('60 runs', function()
      return #editor:runs() == 60
    end)
    editor:type('20Gzt5j')
    local before = t.until_('the cursor', function()
      local view = editor:view()
      return view.lnum == 25 and view
    end)
    t.save(root, 'website', 'exec-new', { startedAt = t.minute(500), status = 'running', input = 'Fresh' })
    editor:wait_text('Fresh')
    t.has(editor:lines()[1], 'running', 'the first row')
    local after = editor:view()
    t.equal({ after.cursor, after.top }, { before.cursor, before.top }, 'where the window is')
    editor:wait_screen('20 above')
    t.save(root, 'website', 'exec-new', { startedAt = t.minute(500), input = 'Fresh' })
    t.until_('its new status', function()
      return editor:lines()[1]:find('completed', 1, true)
    end)
    assert(vim.uv.fs_unlink(root .. '/website/executions/exec-new.json'))
    t.until_('it to go', function()
      return not editor:text():find('Fresh', 1, true)
    end)
    wait_equal(editor, root)
    after = editor:view()
    t.equal({ after.cursor, after.top, after.lnum }, { before.cursor, before.top, 25 }, 'where the window is')
  end),

  check('filter: applied by the daemon, completed, and a wrong one shows where it is wrong', function()
    local root = t.root(9)
    local editor = t.list(root)
    editor:type('istat<Tab>')
    t.until_('the completion', function()
      return editor:lua('return vim.api.nvim_get_current_line()') == 'status'
    end)
    editor:type(' = failed<CR>')
    t.until_('three runs', function()
      return #editor:runs() == 3
    end)
    t.equal(editor:runs(), listed(root, { where = 'status = failed' }), 'the list')
    editor:wait_screen('filter status = failed')
    -- what comes and passes is shown, what does not is not
    t.save(root, 'website', 'exec-good', { startedAt = t.minute(98) })
    t.save(root, 'website', 'exec-bad', { startedAt = t.minute(99), status = 'failed' })
    t.until_('the fourth', function()
      return editor:runs()[1] == 'website/exec-bad'
    end)
    t.save(root, 'website', 'exec-bad', { startedAt = t.minute(99), status = 'completed' })
    wait_equal(editor, root, { where = 'status = failed' })
    -- what is pasted counts to its end, though it has several lines
    editor:type('i<C-u>')
    vim.rpcrequest(editor.channel, 'nvim_paste', 'status = failed\nand id = "exec-0003"', true, -1)
    editor:type('<CR>')
    editor:wait_screen('filter status = failed and id = "exec-0003"')
    editor:type('i<C-u>status = failed<CR>')
    t.until_('the three runs', function()
      return #editor:runs() == 3
    end)
    editor:type('i<C-u>costUSD > and<CR>')
    editor:wait_screen('          ^ expected an amount such as 0.5, found `and`')
    editor:type('<Esc>')
    t.until_('the list', function()
      return #editor:runs() == 3
    end)
    editor:type('i<C-u>statsu = failed<CR>')
    editor:wait_screen('did you mean status?')
    editor:type('<C-u>project = "ä😀" or bad<CR>')
    editor:wait_screen('^ expected a')
    local mark = editor:lua([[
      return vim.api.nvim_buf_get_extmarks(0, vim.api.nvim_create_namespace('runlog.filter'), 0, -1, {})[1][3]
    ]])
    assert(mark >= #'project = "ä😀" or ', 'the error is marked at ' .. mark)
    editor:type('<Esc>x')
    wait_equal(editor, root)
  end),

  check('filter: what is wrong is in sight however long the filter is', function()
    local root = t.root(1)
    local editor = t.list(root, { width = 80 })
    local good = 'status = failed and costUSD > 0.01 and label ~ "review" '
    for _, before in ipairs({ good, good .. 'and project = "website" ', (good .. 'and '):rep(6) .. good }) do
      editor:type('i<C-u>' .. before .. 'and strtedAt >= -7d')
      editor:wait_screen('found `strtedAt`')
      editor:wait_screen('did you mean startedAt?')
      t.has(editor:screen(), 'status = failed and costUSD', 'the window')
      editor:type('<CR>')
      editor:wait_screen('did you mean startedAt?')
      editor:type('<Esc>')
      t.until_('the list', function()
        return editor:lua('return vim.bo.filetype') == 'runlog'
      end)
    end
    -- one that is there already
    editor:type('i<C-u>' .. (good .. 'and '):rep(2) .. 'costUSD > 5<CR>')
    t.until_('the list', function()
      return editor:lua("return vim.bo.filetype == 'runlog' and require('runlog.list').current().where ~= nil")
    end)
    editor:type('i')
    editor:wait_screen('costUSD > 5 ')
    t.equal(editor:lua('return vim.api.nvim_win_get_height(0)'), 3, 'rows of the window')
  end),

  check('filter: what passes it no more as time passes goes, and nothing is asked for where nobody looks', function()
    local root = t.root(1)
    local function at(ago)
      return os.date('!%Y-%m-%dT%H:%M:%S.000Z', os.time() - ago)
    end
    t.save(root, 'website', 'exec-new', { startedAt = at(0) })
    t.save(root, 'website', 'exec-old', { startedAt = at(50) })
    local editor = t.list(root)
    editor:lua([[
      require('runlog.list').passing_every = 600
      _G.list = require('runlog.list').current()
      list:set_where('startedAt >= -1m')]])
    local function shows(...)
      local wanted = { ... }
      t.until_(table.concat(wanted, ', '), function()
        return vim.deep_equal(editor:runs(), wanted)
      end, 20)
    end
    shows('website/exec-new', 'website/exec-old')
    shows('website/exec-new')
    editor:command('enew')
    vim.wait(700) -- for what is under way
    local asked = editor:lua('return list.asked')
    vim.wait(1500) -- for what must not happen
    t.equal(editor:lua('return list.asked'), asked, 'how often it was asked for')
    editor:command('Runlog')
    t.until_('it to be asked for again and again', function()
      return editor:lua('return list.asked') > asked + 2
    end)
  end),

  check('status: one of them only', function()
    local root = t.root(9)
    local editor = t.list(root)
    editor:type('s')
    editor:wait_screen('6: failed')
    editor:type('6<CR>')
    t.until_('three runs', function()
      return #editor:runs() == 3
    end)
    editor:wait_screen('status failed')
    -- what is told of runs that it does not show is not kept
    t.save(root, 'website', 'exec-0001', { output = 'again' })
    t.save(root, 'website', 'exec-0010', { status = 'failed' })
    t.until_('four runs', function()
      return #editor:runs() == 4
    end)
    t.equal(editor:lua("return vim.tbl_count(require('runlog.list').current().gone)"), 0, 'runs that are gone')
  end),

  check('search: hits with snippets, and a run that comes later', function()
    local root = t.root(9)
    t.save(root, 'website', 'exec-hit', { startedAt = t.minute(50), output = 'All is well with the wombat today.' })
    local editor = t.list(root)
    editor:type('Swombat<CR>')
    t.until_('the hit', function()
      return vim.deep_equal(editor:runs(), { 'website/exec-hit' })
    end)
    t.has(editor:text(), '/output: All is well with the wombat today.', 'the snippet')
    t.save(root, 'website', 'exec-hit-2', { startedAt = t.minute(51), error = 'No wombat\nwas seen.', status = 'failed' })
    t.until_('the second hit', function()
      return #editor:runs() == 2
    end)
    editor:wait_text('/error: No wombat was seen.')
    editor:type('S<C-u>nothingness<CR>')
    editor:wait_text('Nothing has nothingness.')
    editor:type('x')
    wait_equal(editor, root)
  end),

  check('delete and undo: one run, several, and from the run itself', function()
    local root = t.root(5)
    local editor = t.list(root)
    local file = root .. '/website/executions/exec-0004.json'
    local stored = io.open(file):read('*a')
    editor:type('2Gdd')
    t.until_('it to go', function()
      return #editor:runs() == 4
    end)
    t.equal(vim.uv.fs_stat(file), nil, 'its file')
    editor:type('u')
    t.until_('it to be back', function()
      return #editor:runs() == 5
    end)
    t.equal(io.open(file):read('*a'), stored, 'the file')
    editor:type('ggVjjd')
    t.until_('three to go', function()
      return #editor:runs() == 2
    end)
    editor:type('u')
    t.until_('three to be back', function()
      return #editor:runs() == 5
    end)
    editor:type('gg<CR>')
    editor:wait_text('Output of')
    editor:type('dd')
    editor:wait_screen('deleted')
    editor:type('u')
    t.until_('it to be back', function()
      return vim.uv.fs_stat(root .. '/website/executions/exec-0005.json')
    end)
    editor:type('<C-o>')
    wait_equal(editor, root)
  end),

  check('run: what becomes of others of its project is not taken for its own', function()
    local root = t.root(3)
    local editor = t.list(root)
    editor:type('gg<CR>')
    editor:wait_text('Output of exec-0003')
    t.until_('it to be followed', function()
      return editor:lua([[
        _G.told = {}
        for one in pairs(require('runlog.client').all()[1].subscriptions) do
          if one.id and one.params.where == 'id = "exec-0003"' then
            local told = one.told
            one.told = function(change)
              told(change)
              _G.told[change.kind .. ' ' .. (change.executionId or '')] = true
            end
            return true
          end
        end
        return false]])
    end)
    local function is_told(change)
      t.until_(change, function()
        return editor:lua('return _G.told[...] == true', change)
      end)
      return editor:lua('return vim.wo.winbar')
    end
    t.save(root, 'website', 'exec-0002', { status = 'failed' })
    assert(not is_told('left exec-0002'):find('any more', 1, true), 'another was saved')
    assert(vim.uv.fs_unlink(root .. '/website/executions/exec-0001.json'))
    assert(not is_told('deleted exec-0001'):find('any more', 1, true), 'another was deleted')
    assert(vim.uv.fs_unlink(root .. '/website/executions/exec-0003.json'))
    t.has(is_told('deleted exec-0003'), 'it is not there any more', 'the winbar')
  end),

  check('load more: the rest comes on the last row, and the cursor stays', function()
    local root = t.root(230)
    local editor = t.list(root)
    t.until_('a page', function()
      return #editor:runs() == 100
    end)
    editor:wait_text('130 more')
    editor:type('G<CR>')
    t.until_('the second page', function()
      return #editor:runs() == 200
    end)
    t.equal(editor:view().lnum, 101, 'the cursor')
    editor:type('+')
    t.until_('all', function()
      return #editor:runs() == 230
    end)
    t.equal(editor:runs(), listed(root), 'the list')
    t.equal(#editor:lines(), 230, 'lines')
  end),

  check('pin, tag and note: shown at once', function()
    local root = t.root(3)
    local editor = t.list(root)
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    local can = editor:lua("return require('runlog.list').current().client:can('executions/annotate')")
    assert(can, 'the daemon has no executions/annotate')
    editor:type('ggp')
    t.until_('the pin', function()
      return editor:lines()[1]:sub(2, 2) == '*'
    end)
    editor:type('Aurgent, later<CR>')
    editor:wait_text('#later #urgent')
    editor:type('aask Bob<CR>')
    editor:wait_text('“ask Bob”')
    editor:type('A<C-u><CR>')
    t.until_('the tags to go', function()
      return not editor:text():find('#', 1, true)
    end)
    editor:type('p')
    t.until_('the pin to go', function()
      return editor:lines()[1]:sub(2, 2) == ' '
    end)
  end),

  check('tags: blanks and commas in them stay, and only what was changed is sent', function()
    local root = t.root(1)
    local function annotate(change)
      change.projectId, change.executionId = 'website', 'exec-0001'
      t.ask(root, 'executions/annotate', change)
    end
    annotate({ tags = { 'needs review', 'a,b', 'z' } })
    local editor = t.list(root)
    editor:wait_text('#a,b #needs review #z')
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    editor:lua([[
      local client = require('runlog.list').current().client
      local request = client.request
      _G.sent = {}
      client.request = function(self, method, params, ...)
        if method == 'executions/annotate' then table.insert(_G.sent, vim.deepcopy(params)) end
        return request(self, method, params, ...)
      end]])
    local function sent()
      return editor:lua('local last = _G.sent[#_G.sent] return { #_G.sent, last and last.addTags or 0, last and last.removeTags or 0 }')
    end
    editor:type('A')
    editor:wait_screen('Tags, with commas between them: a,b, needs review, z')
    editor:type('<CR>')
    t.equal(sent(), { 0, 0, 0 }, 'what was sent')
    -- another gives it one meanwhile
    annotate({ addTags = { 'theirs' } })
    editor:type('A<C-u>b, needs review , late one,<CR>')
    editor:wait_text('#a,b #late one #needs review #theirs')
    t.equal(sent(), { 1, { 'late one' }, { 'z' } }, 'what was sent')
    editor:type('A<C-u>theirs<CR>')
    t.until_('all but one to go', function()
      return sent()[1] == 2 and editor:text():find('Task number 1 #theirs', 1, true)
    end)
    t.equal(sent(), { 2, 0, { 'a,b', 'late one', 'needs review' } }, 'what was sent')
    editor:type('<CR>')
    editor:wait_text('Tags       theirs')
  end),

  check('note: of several lines it is edited in a window, and nothing is sent that was not changed', function()
    local root = t.root(2)
    for i, note in ipairs({ 'one line', 'first\n\n  third' }) do
      t.ask(root, 'executions/annotate', { projectId = 'website', executionId = 'exec-000' .. i, note = note })
    end
    local editor = t.list(root)
    editor:wait_text('“first')
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    local function note(id)
      return t.ask(root, 'executions/list', { where = ('id = "%s"'):format(id) }).executions[1].note
    end
    editor:lua([[
      local client = require('runlog.list').current().client
      local request = client.request
      _G.sent = 0
      client.request = function(self, method, ...)
        if method == 'executions/annotate' then _G.sent = _G.sent + 1 end
        return request(self, method, ...)
      end]])
    editor:type('2Ga')
    editor:wait_screen('Note: one line')
    editor:type('<CR>gga')
    t.until_('the note', function()
      return vim.deep_equal(editor:lines(), { 'first', '', '  third' })
    end)
    editor:type(':w<CR>')
    t.equal(editor:lua('return { _G.sent, vim.bo.modified }'), { 0, false }, 'what was sent')
    editor:type('Go<C-u>fourth<Esc>:wq<CR>')
    t.until_('the list', function()
      return #editor:runs() == 2
    end)
    t.equal(note('exec-0002'), 'first\n\n  third\nfourth', 'the note')
    t.equal(editor:lua('return _G.sent'), 1, 'what was sent')
    -- what is refused is not lost
    t.until_('the list to have it', function()
      return editor:lua("return require('runlog.list').current().items[1].row.note"):find('fourth', 1, true)
    end)
    editor:type('gga')
    t.until_('the note', function()
      return #editor:lines() == 4
    end)
    editor:type(('GA%s<Esc>:wq<CR>'):format(('x'):rep(2100)))
    editor:wait_screen('a note has at most 2000')
    editor:type('<CR>')
    t.equal(editor:lua('return { vim.bo.modified, vim.fn.line("$") }'), { true, 4 }, 'the note that is refused')
    t.equal(note('exec-0002'), 'first\n\n  third\nfourth', 'the note')
  end),

  check('note: all its lines are in the run, and in the list that there are more', function()
    local root = t.root(2)
    for i, note in ipairs({ 'one line', 'first\n  second\n\nfourth' }) do
      t.ask(root, 'executions/annotate', { projectId = 'website', executionId = 'exec-000' .. i, note = note })
    end
    local editor = t.list(root)
    editor:wait_text('“first …”')
    t.has(editor:text(), '“one line”', 'the list')
    editor:type('gg<CR>')
    editor:wait_text('\nNote       first\n             second\n           \n           fourth\nFile ')
  end),

  check('note: what somebody else has made of it meanwhile is not written over by :w', function()
    local root = t.root(1)
    local function others(note)
      t.ask(root, 'executions/annotate', { projectId = 'website', executionId = 'exec-0001', note = note })
    end
    local function note()
      return t.ask(root, 'executions/list', {}).executions[1].note
    end
    others('first\nsecond')
    local editor = t.list(root)
    editor:wait_text('“first')
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    editor:type('gga')
    t.until_('the note', function()
      return vim.deep_equal(editor:lines(), { 'first', 'second' })
    end)
    others('first\nsecond\ntheirs')
    editor:type('Gomine<Esc>:w<CR>')
    editor:wait_screen(':w! writes over it')
    editor:type('<CR>')
    t.equal({ note(), editor:lua('return vim.bo.modified') }, { 'first\nsecond\ntheirs', true }, 'the note')
    editor:type(':e!<CR>')
    t.until_('theirs', function()
      return vim.deep_equal(editor:lines(), { 'first', 'second', 'theirs' })
    end)
    editor:type('Gomine<Esc>:w<CR>')
    t.until_('the note', function()
      return note() == 'first\nsecond\ntheirs\nmine'
    end)
    -- also what nothing was told of yet
    others('newer\nstill')
    editor:type(':e!<CR>')
    t.until_('the newest', function()
      return vim.deep_equal(editor:lines(), { 'newer', 'still' })
    end)
    editor:type('ggdGifirst<CR>second<CR>theirs<CR>mine<Esc>:w<CR>')
    t.until_('the note', function()
      return note() == 'first\nsecond\ntheirs\nmine'
    end)
    others('')
    editor:type('Goagain<Esc>:w<CR>')
    editor:wait_screen(':w! writes over it')
    editor:type('<CR>')
    editor:type(':w!<CR>')
    t.until_('the note', function()
      return note() == 'first\nsecond\ntheirs\nmine\nagain'
    end)
  end),

  check('note: what somebody else has made of it is not written over by what is typed meanwhile', function()
    local root = t.root(1)
    local function others(note)
      t.ask(root, 'executions/annotate', { projectId = 'website', executionId = 'exec-0001', note = note })
    end
    local function note()
      return t.ask(root, 'executions/list', {}).executions[1].note
    end
    local editor = t.list(root)
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    local function wait_row(wanted)
      t.until_('the note', function()
        return editor:lua("return require('runlog.list').current().items[1].row.note or ''") == wanted
      end)
    end
    for shown, theirs in pairs({ [''] = 'theirs', ours = '' }) do
      others(shown)
      wait_row(shown)
      editor:type('gga')
      editor:wait_screen('Note:')
      others(theirs)
      editor:type('<C-u>mine, not ' .. theirs .. '<CR>')
      editor:wait_screen('Somebody else has changed the note; it is not written: mine, not ' .. theirs)
      t.equal(note() or '', theirs, 'the note')
      wait_row(theirs)
    end
    editor:type('gga<C-u>mine<CR>')
    t.until_('the note', function()
      return note() == 'mine'
    end)
    wait_row('mine')
    -- what the daemon could not read is not sent
    editor:lua([[vim.ui.input = function(_, typed) typed('caf\233') end]])
    editor:type('a')
    editor:wait_screen('This text is not UTF-8.')
  end),

  check('text: what is not UTF-8 is refused, and the list goes on', function()
    local root = t.root(2)
    local editor = t.list(root)
    for text, good in pairs({
      ['ä\1\127\238\128\128😀\244\143\191\191'] = true, ['caf\233'] = false, ['\192\187'] = false, ['\237\160\128'] = false, ['a\128'] = false,
    }) do
      editor:lua([[
        local text, good = ...
        _G.answered = nil
        require('runlog.list').current().client:request('filter/check', { text = text }, function(err)
          _G.answered = (err == nil) == good
        end)]], text, good)
      t.until_('the right answer to ' .. text, function()
        return editor:lua('return _G.answered')
      end)
    end
    editor:lua([[
      local list = require('runlog.list').current()
      list.search = 'caf\233'
      list:ask()]])
    editor:wait_text('This text is not UTF-8.')
    editor:type('x')
    wait_equal(editor, root)
  end),

  check('note: one with a control character is edited in a window, which an input would take out', function()
    local root = t.root(1)
    t.ask(root, 'executions/annotate', { projectId = 'website', executionId = 'exec-0001', note = 'a\rb\27c' })
    local editor = t.list(root)
    editor:wait_text('“a')
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    editor:type('gga')
    t.until_('the note', function()
      return vim.deep_equal(editor:lines(), { 'a\rb\27c' })
    end)
  end),

  check('note: what is edited in a window is kept though the list was closed', function()
    local root = t.root(1)
    t.ask(root, 'executions/annotate', { projectId = 'website', executionId = 'exec-0001', note = 'first\nsecond' })
    local editor = t.list(root)
    editor:wait_text('“first')
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    editor:type('gga')
    t.until_('the note', function()
      return vim.deep_equal(editor:lines(), { 'first', 'second' })
    end)
    editor:command('bwipeout #')
    editor:type('Gothird<Esc>:w<CR>')
    t.until_('the note', function()
      return t.ask(root, 'executions/list', {}).executions[1].note == 'first\nsecond\nthird'
    end)
    editor:type(':enew<CR>')
    t.until_('the client to go', function()
      return editor:lua("return #require('runlog.client').all()") == 0
    end)
  end),

  check('deletions: how many went and what was refused is said, and no undo is offered for those of others', function()
    local root = t.root(5)
    local editor = t.list(root)
    t.until_('5 runs', function()
      return #editor:runs() == 5
    end)
    editor:lua([[
      local client = require('runlog.list').current().client
      local request = client.request
      client.request = function(self, method, params, done, ...)
        if method == 'executions/delete' and params.executionId == 'exec-0004' then
          return vim.schedule(function() done({ code = 500, message = 'No room in the trash.', data = {} }) end)
        end
        return request(self, method, params, done, ...)
      end]])
    editor:type('ggVjjd')
    editor:wait_screen('Deleted 2 of 3 runs; u has it back. 1 refused: No room in the trash.')
    editor:type('u')
    t.until_('two to be back', function()
      return #editor:runs() == 5
    end)
    editor:type('gg<CR>')
    editor:wait_text('Output of exec-0005')
    assert(vim.uv.fs_unlink(root .. '/website/executions/exec-0005.json'))
    editor:wait_screen('it is not there any more')
    assert(not editor:screen():find('has it back', 1, true), editor:screen())
    editor:type('dd')
    editor:wait_screen('It is not there any more.')
    t.save(root, 'website', 'exec-0005', { startedAt = t.minute(5) })
    t.until_('it to be back', function()
      return not editor:screen():find('any more  ', 1, true)
    end)
    editor:type('dd')
    editor:wait_screen('deleted  u has it back')
    -- more than the daemon lets one ask at once
    local asked = editor:lua([[
      local client, rows = require('runlog.client').all()[1], {}
      for i = 1, 1500 do
        rows[i] = { projectId = 'website', id = 'no-' .. i }
      end
      require('runlog.actions').delete(client, rows)
      return vim.tbl_count(client.pending)]])
    assert(asked < 200, asked .. ' at once')
    editor:wait_screen('1500 not there any more.')
    -- of what the daemon's end left open, none is called refused
    editor:lua([[
      local client = require('runlog.client').all()[1]
      client.request = function(_, _, params, done)
        local lost = { code = 503, message = 'lost', data = { outcome = 'unknown' } }
        vim.schedule(function() done(params.executionId ~= 'a' and lost or nil, { deleted = true, entry = 'a' }) end)
      end
      local rows = vim.tbl_map(function(id) return { projectId = 'website', id = id } end, { 'a', 'b', 'c' })
      require('runlog.actions').delete(client, rows)]])
    editor:wait_screen('Deleted 1 of 3 runs; u has it back. 2 unknown: the daemon ended.')
  end),

  check('undo: what somebody else had back is no obstacle to what was deleted with it and before it', function()
    local root = t.root(6)
    local editor = t.list(root)
    local function await(count)
      t.until_(count .. ' runs', function()
        return #editor:runs() == count and editor:lua("return require('runlog.list').current().client.under_way") == 0
      end)
    end
    await(6)
    for _, deletion in ipairs({ { 'gg2dd', 4 }, { 'ggdd', 3 } }) do
      editor:type(deletion[1])
      await(deletion[2])
    end
    for _, id in ipairs({ 'exec-0004', 'exec-0006' }) do
      t.ask(root, 'executions/restore', { projectId = 'website', executionId = id })
    end
    await(5)
    editor:type('u')
    editor:wait_screen('It is not in the trash any more.')
    editor:type('u')
    editor:wait_screen('1 run is back.')
    wait_equal(editor, root)
    t.equal(#editor:runs(), 6, 'runs')
    editor:type('u')
    editor:wait_screen('Nothing was deleted here.')
    for _, deletion in ipairs({ { 'ggdd', 5 }, { 'gg3dd', 2 } }) do
      editor:type(deletion[1])
      await(deletion[2])
    end
    t.save(root, 'website', 'exec-0004', { startedAt = t.minute(4) })
    await(3)
    editor:type('u')
    editor:wait_screen('2 runs are back. 1 is there again; the old ones stay in the trash.')
    editor:type('u')
    editor:wait_screen('1 run is back.')
    await(6)
  end),

  check('undo: more than one request may have back', function()
    local root = t.root(1010)
    local editor = t.list(root)
    editor:lua([[
      local client, rows = require('runlog.client').all()[1], {}
      for i = 1, 1010 do
        rows[i] = { projectId = 'website', id = ('exec-%04d'):format(i) }
      end
      require('runlog.actions').delete(client, rows)]])
    editor:wait_screen('Deleted 1010 runs; u has it back.', 30)
    editor:type('u')
    editor:wait_screen('1010 runs are back.', 30)
    t.equal(t.ask(root, 'executions/count', { sync = true }).count, 1010, 'runs')
  end),

  check('compare: two runs in the native diff, with what the daemon says of both', function()
    local root = t.root(1)
    t.save(root, 'website', 'exec-a', { startedAt = t.minute(50), output = 'same\nold', costUSD = 0.01 })
    t.save(root, 'website', 'exec-b', { startedAt = t.minute(51), output = 'same\nnew', costUSD = 0.035 })
    local editor = t.list(root)
    editor:type('2Gcggc')
    t.until_('the comparison', function()
      return editor:lua([[
        local n = 0
        for _, win in ipairs(vim.api.nvim_tabpage_list_wins(0)) do n = n + (vim.wo[win].diff and 1 or 0) end
        return n == 2]])
    end)
    editor:wait_screen('cost +$0.025')
    t.equal(editor:lua([[
      local found = {}
      for i = 1, vim.fn.line('$') do
        if vim.fn.diff_hlID(i, 3) ~= 0 then found[#found + 1] = vim.fn.getline(i) end
      end
      return vim.tbl_contains(found, '  new') and not vim.tbl_contains(found, '  same')]]), true, 'the diff')
    local function buffers()
      return editor:lua("return { #vim.api.nvim_list_tabpages(), #vim.api.nvim_list_bufs() }")
    end
    editor:type('q')
    t.until_('the list', function()
      return #editor:runs() == 3
    end)
    t.equal(buffers(), { 1, 2 }, 'tabs and buffers')
    -- nothing can be loaded there, which is not offered
    t.save(root, 'website', 'exec-large', { startedAt = t.minute(52), output = ('x'):rep(2 * 1024 * 1024) })
    editor:wait_text('Input of exec-large')
    editor:type('2Gcggc')
    editor:wait_text('characters are shown')
    assert(not editor:text():find('loads more', 1, true), 'more is offered')
    -- in the last tab its windows are closed, then it goes back to the list
    editor:type(':tabonly<CR>qq')
    t.until_('the list', function()
      return #editor:runs() == 4
    end)
    t.equal(buffers(), { 1, 2 }, 'tabs and buffers')
  end),

  check('daemon killed during 100 saves: the list equals executions/list, and one daemon is left', function()
    local root = t.root(20)
    local editor = t.list(root)
    for i = 1, 100 do
      if i % 25 == 10 then
        for _, pid in ipairs(shared_daemons(root)) do
          vim.uv.kill(pid, 'sigkill')
        end
      end
      local id = i % 4 == 0 and ('exec-%04d'):format(i % 20 + 1) or ('exec-live-%03d'):format(i)
      t.save(root, 'website', id, { startedAt = t.minute(100 + i), status = i % 2 == 0 and 'failed' or 'completed' })
      if i % 10 == 0 then
        vim.uv.fs_unlink(('%s/website/executions/exec-live-%03d.json'):format(root, i - 3))
      end
      vim.wait(5)
    end
    wait_equal(editor, root)
    t.save(root, 'website', 'exec-after', { startedAt = t.minute(900) })
    t.until_('the next run', function()
      return editor:runs()[1] == 'website/exec-after'
    end)
    t.until_('one daemon', function()
      return #shared_daemons(root) == 1
    end)
  end),

  check('forwarder killed: another is started, and the list goes on', function()
    local root = t.root(20)
    local editor = t.list(root)
    for round = 1, 3 do
      local forwarder = editor:lua("return require('runlog.list').current().client.process.handle:get_pid()")
      vim.uv.kill(forwarder, 'sigkill')
      t.save(root, 'website', 'exec-lost-' .. round, { startedAt = t.minute(200 + round) })
      vim.uv.fs_unlink(('%s/website/executions/exec-%04d.json'):format(root, round))
      wait_equal(editor, root)
    end
    -- both at once
    local forwarder = editor:lua("return require('runlog.list').current().client.process.handle:get_pid()")
    for _, pid in ipairs(shared_daemons(root)) do
      vim.uv.kill(pid, 'sigkill')
    end
    vim.uv.kill(forwarder, 'sigkill')
    t.save(root, 'website', 'exec-both', { startedAt = t.minute(300) })
    wait_equal(editor, root)
    editor:type('ggdd')
    t.until_('a deletion to work', function()
      return #listed(root) == #editor:runs() and editor:runs()[1] ~= 'website/exec-both'
    end)
    t.until_('one daemon', function()
      return #shared_daemons(root) == 1
    end)
  end),

  check('daemon missing: the list says what to do, and goes on once it is there', function()
    local root = t.root(3)
    local folder = t.folder('bin')
    local editor = t.editor({ cwd = vim.fs.dirname(root), binary = folder .. '/runlog' })
    editor:type(':Runlog<CR>')
    editor:wait_text(('There is no program %s/runlog.'):format(folder))
    t.has(editor:text(), "require('runlog').setup({ command =", 'the message')
    t.write(folder .. '/runlog', 'no program')
    editor:type('r')
    editor:wait_text(('%s/runlog is not executable.'):format(folder))
    assert(vim.uv.fs_unlink(folder .. '/runlog'))
    assert(vim.uv.fs_symlink(t.binary, folder .. '/runlog'))
    editor:type('r')
    wait_equal(editor, root)
  end),

  check('daemon missing: where there are no runs, r goes on looking for them where it did', function()
    for _, chosen in ipairs({ false, true }) do
      local folder, bin = t.folder('work'), t.folder('bin')
      t.write(folder .. '/.git/HEAD', '')
      local editor = t.editor({ cwd = chosen and vim.fs.dirname(folder) or folder, binary = bin .. '/runlog' })
      editor:type((':Runlog %s<CR>'):format(chosen and folder or ''))
      editor:wait_text('There is no program')
      assert(vim.uv.fs_symlink(t.binary, bin .. '/runlog'))
      editor:type('r')
      local root = chosen and folder or folder .. '/projects'
      t.until_('the list', function()
        return editor:lua([[
          local client = require('runlog.list').current().client
          return client.state == 'ready' and client.root.path]]) == root
      end)
      t.save(root, 'p', 'exec-first')
      editor:wait_text('Input of exec-first')
      editor:close()
    end
  end),

  check('program: one that prints what is no protocol and ends is given up, and so is one that refuses to begin', function()
    local root = t.root(1)
    local log = t.folder('log') .. '/started'
    local editor = t.editor({
      cwd = vim.fs.dirname(root),
      binary = t.program(('echo "$@" >> %s\necho "runlog: usage: foo"'):format(log)),
    })
    editor:type(':Runlog<CR>')
    editor:wait_text('ended with status 0: runlog: usage: foo', 20)
    t.has(editor:text(), 'does not say which folder it serves: runlog: usage: foo', 'the list')
    t.equal(#vim.fn.readfile(log), 6, 'how often it was started')
    editor:close()
    editor = t.editor({
      cwd = vim.fs.dirname(root),
      binary = t.program(([=[
[ "$1" = root ] && exec %s "$@"
read line
echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Not today."}}'
exec sleep 1000]=]):format(t.binary)),
    })
    editor:type(':Runlog<CR>')
    editor:wait_text('refuses to begin: Not today.')
    editor:close()
    editor = t.editor({
      cwd = vim.fs.dirname(root),
      binary = t.program(([=[
[ "$1" = root ] && exec %s "$@"
read line
echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":2,"root":{"exists":true},"capabilities":{"methods":[]}}}'
exec sleep 1000]=]):format(t.binary)),
    })
    editor:type(':Runlog<CR>')
    editor:wait_text('speaks version 2 of the protocol; update this plugin.')
  end),

  check('program: one that prints without end is given up at once', function()
    local root = t.root(1)
    local words = 'yes no ' .. vim.uv.os_getpid()
    local editor = t.editor({
      cwd = vim.fs.dirname(root),
      binary = t.program(('[ "$1" = root ] && exec %s "$@"\nexec %s'):format(t.binary, words)),
    })
    editor:type(':Runlog<CR>')
    editor:wait_text('does not speak the protocol, but says: no')
    t.until_('it to end', function()
      return #vim.fn.systemlist({ 'pgrep', '-xf', words }) == 0
    end)
    t.equal(editor:lua('return vim.v.errmsg'), '', 'the last error')
  end),

  check('program: what `root --json` prints is looked at before it is believed', function()
    for _, printed in ipairs({ '{}', '[]', '3', '{"root":5,"candidates":[{}]}', '' }) do
      local program = t.program(("[ $1 = --version ] && echo runlog 9 && exit\necho '%s'"):format(printed))
      local editor = t.editor({ cwd = t.folder('work'), binary = program })
      editor:type(':Runlog<CR>')
      editor:wait_text('does not say which folder it serves: ' .. printed)
      editor:type(':checkhealth runlog<CR>')
      editor:wait_text('It does not say which folder it serves: ' .. printed)
      assert(not editor:text():find('stack traceback', 1, true), editor:text())
      editor:close()
    end
  end),

  check('program: one that hangs is said to, and is not left running', function()
    local root = t.root(1)
    local hang = 'sleep 9' .. vim.uv.os_getpid()
    local function left()
      return #vim.fn.systemlist({ 'pgrep', '-xf', hang })
    end
    for _, begins in ipairs({ '', ('[ "$1" = root ] && exec %s "$@"\n'):format(t.binary) }) do
      local program = t.program(begins .. 'exec ' .. hang)
      local editor = t.editor({ cwd = vim.fs.dirname(root), binary = program })
      editor:lua([[
        require('runlog.roots').within = 300
        require('runlog.client').answer_within = 300]])
      editor:type(':Runlog<CR>')
      editor:wait_text('does not answer. Is it the right program?')
      if begins == '' then
        t.has(editor:text(), 'does not say which folder it serves: it does not answer.', 'the list')
      end
      t.until_('it to end', function()
        return left() == 0
      end)
      -- leaving while it is waited for
      editor:lua([[
        require('runlog.roots').within = 60000
        require('runlog.client').answer_within = 60000]])
      editor:type('r')
      t.until_('it to be started', function()
        return left() > 0
      end)
      pcall(editor.type, editor, ':qa!<CR>')
      t.until_('it to end', function()
        return left() == 0
      end)
      editor:close()
    end
    -- it has answered, but does not hear the end of its input
    local editor = t.editor({
      cwd = vim.fs.dirname(root),
      binary = t.program(([=[
[ "$1" = root ] && exec %s "$@"
echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"root":{"exists":true},"capabilities":{"methods":[]}}}'
exec %s]=]):format(t.binary, hang)),
    })
    editor:type(':Runlog<CR>')
    t.until_('it to be ready', function()
      return editor:lua("local list = require('runlog.list').current() return list and list.client.state") == 'ready'
    end)
    editor:type(':bwipeout<CR>')
    t.until_('it to end', function()
      return left() == 0
    end)
  end),

  check('folder: where it has gone, but not the runs, another daemon is started all the same', function()
    local root = t.root(1)
    local folder = vim.fs.dirname(root) .. '/src'
    vim.fn.mkdir(folder)
    t.write(vim.fs.dirname(root) .. '/.git/HEAD', '')
    local editor = t.list(root, { cwd = folder })
    editor:command('cd /')
    vim.fn.delete(folder, 'd')
    vim.uv.kill(editor:lua("return require('runlog.list').current().client.process.handle:get_pid()"), 'sigkill')
    t.save(root, 'website', 'exec-after', { startedAt = t.minute(99) })
    wait_equal(editor, root)
  end),

  check('folder: one that is not there is said not to be', function()
    local editor = t.editor({ cwd = t.folder('work') })
    editor:type(':Runlog /nonexistent/x<CR>')
    editor:wait_screen('runlog: there is no folder /nonexistent/x')
    t.equal(editor:lines(), { '' }, 'the buffer')
  end),

  check('no root: the places tried; a run that is saved appears; another folder is chosen', function()
    local folder = t.folder('empty')
    local root = t.root(2)
    local editor = t.editor({ cwd = folder })
    editor:type(':Runlog<CR>')
    editor:wait_text('There is no folder of runs here. Looked for:')
    t.has(editor:text(), folder .. ' and 3 levels below', 'the list')
    t.save(folder .. '/projects', 'p', 'exec-first', {})
    t.until_('the first run', function()
      return vim.deep_equal(editor:runs(), { 'p/exec-first' })
    end)
    editor:type('dd')
    editor:wait_text('No runs yet.')
    editor:type('R<C-u>' .. vim.fs.dirname(root) .. '<CR>')
    t.until_('the other list', function()
      return vim.deep_equal(editor:runs(), listed(root))
    end)
  end),

  check('folder: what its name has is not expanded, least of all run', function()
    local folder = t.folder('work') .. '/`touch made`$HOME*'
    t.save(folder .. '/projects', 'p', 'exec-1')
    local editor = t.editor({ cwd = folder })
    editor:type(':lua require("runlog").choose()<CR>')
    editor:wait_screen('Folder: ')
    editor:type('<CR>')
    editor:wait_text('Input of exec-1')
    t.equal(editor:lua("return require('runlog.list').current().client.root.path"), folder .. '/projects', 'the root')
    editor:type('gf')
    editor:wait_text('"Input of exec-1"')
    t.equal(vim.uv.fs_stat(folder .. '/made'), nil, 'what its name would do')
    -- a home is one
    t.save(vim.env.HOME .. '/mine/projects', 'p', 'exec-mine')
    editor:type(':lua require("runlog").choose()<CR>')
    editor:wait_screen('Folder: ')
    editor:type('<C-u>~/mine<CR>')
    editor:wait_text('Input of exec-mine')
  end),

  check('two roots: it asks which, and both are there', function()
    local folder = t.folder('two')
    t.save(folder .. '/a/projects', 'p', 'exec-a', {})
    t.save(folder .. '/b/projects', 'p', 'exec-b', {})
    local editor = t.editor({ cwd = folder })
    editor:type(':Runlog<CR>')
    editor:wait_screen('Which runs?')
    editor:wait_screen('2: b/projects')
    editor:type('2<CR>')
    t.until_('the second root', function()
      return vim.deep_equal(editor:runs(), { 'p/exec-b' })
    end)
    editor:type(':split<CR>:Runlog a/projects<CR>')
    t.until_('the first root', function()
      return vim.deep_equal(editor:runs(), { 'p/exec-a' })
    end)
    t.save(folder .. '/b/projects', 'p', 'exec-b2', { startedAt = t.minute(1) })
    editor:type('<C-w>w')
    t.until_('the second root, live', function()
      return vim.deep_equal(editor:runs(), listed(folder .. '/b/projects')) and #editor:runs() == 2
    end)
  end),

  check('hostile record: shown as text, in the list and as a run', function()
    local root = t.root(1)
    local long = ('x'):rep(100000)
    t.save(root, 'website', 'exec-hostile', { startedAt = t.minute(99), input = vim.NIL, output = long }, [=["name":"\u001b[31mred\u0007 \u202eevil\u0000 <script>alert(1)</script> \ud800 日本語 العربية","input":"<b>bold</b>\r\n\u001b]0;title\u0007%s%n\ttab\n\udfff end","error":"\u0085bad\nsecond","a\u0000key\ud83d":1e400,"z":-0.10,"steps":[null,7,"text",{"id":5,"nodeId":{"a":1},"status":[],"output":"\ud83d\ude00\ud83d"},{"nodeId":"deep","output":[[[[[[[]]]]]]]}]]=])
    local editor = t.list(root)
    t.until_('it', function()
      return #editor:runs() == 2
    end)
    t.equal(#editor:lines(), 2, 'lines')
    local first = editor:lines()[1]
    t.has(first, '␛[31mred␇ <202e>evil␀ <script>alert(1)</script>', 'the row')
    t.has(first, '日本語 العربية', 'the row')
    editor:type('gg<CR>')
    editor:wait_text('Other members')
    local text = editor:text()
    t.has(text, '  <b>bold</b>\n  ␛]0;title␇%s%n\ttab\n  � end', 'the input')
    t.has(text, 'Error\n  <0085>bad\n  second', 'the error')
    t.has(text, '"z": -0.10', 'a number')
    t.has(text, '1e400', 'a large number')
    t.has(text, '😀�', 'a step')
    t.has(text, long, 'the output')
    assert(not text:find('[%z\1-\8\11-\31\127]'), 'there are control characters')
    t.equal(editor:lua('return vim.v.errmsg'), '', 'the last error')
  end),

  check('text: what acts on a terminal is shown for what it is, as the program itself shows it', function()
    local format = require('runlog.format')
    for _, char in ipairs(t.acting()) do
      t.equal(format.visible('a' .. char .. 'b'), ('a<%04x>b'):format(vim.fn.char2nr(char, true)))
    end
  end),

  check('odd record: negative amounts, steps that are no list, and a status of two lines', function()
    local root = t.root(1)
    t.save(root, 'website', 'exec-lines', { startedAt = t.minute(100), status = 'odd\nstatus', costUSD = 0.000123456 })
    t.save(root, 'website', 'exec-odd', { startedAt = t.minute(99), duration = -5000, costUSD = -1.5 },
      [=["steps":{"a":1},"tokenUsage":{"input":-1234,"output":5}]=])
    local editor = t.list(root)
    editor:wait_text('    -5.0 s       -$1.50  Input of exec-odd')
    editor:wait_text('     1.5 s $0.000123456  Input of exec-lines')
    editor:type('2gg<CR>')
    editor:wait_text('Steps\n  {\n    "a": 1\n  }')
    t.has(editor:text(), 'Duration   -5.0 s\nCost       -$1.50', 'the run')
    editor:type('qgg')
    t.has(editor:view().cursor, 'odd ', 'the row')
    editor:type('<CR>')
    editor:wait_text('Input of exec-lines\nodd\nRun ')
    -- what the head cannot tell is told below
    t.save(root, 'website', 'exec-kinds', { startedAt = t.minute(101), duration = 'soon', costUSD = '1 2', completedAt = 'garbage' },
      [=["retryCount":"a","tokenUsage":{"input":"x"},"name":null,"model":"","steps":[{"id":5,"costUSD":"free","duration":7,"error":null}]]=])
    editor:type('q')
    editor:wait_text('Input of exec-kinds')
    editor:type('gg<CR>')
    editor:wait_text('Other members')
    for _, member in ipairs({ '"duration": "soon"', '"costUSD": "1 2"', '"completedAt": "garbage"', '"retryCount": "a"', '"input": "x"', '"id": 5', '"costUSD": "free"' }) do
      t.has(editor:text(), member, 'the run')
    end
    for _, member in ipairs({ '"name"', '"model"', '"projectId"', '"startedAt"', '"status"', '"duration": 7', '"error"' }) do
      assert(not editor:text():find(member, 1, true), editor:text())
    end
    t.equal(editor:lua('return vim.v.errmsg'), '', 'the last error')
  end),

  check('numbers: one that is too large is shown as the record spells it', function()
    local root = t.root(1)
    local large = '"costUSD":1e400,"duration":-1e400,"tokenUsage":{"input":1e400}'
    t.write(root .. '/website/executions/exec-large.json', ([=[{"id":"exec-large","projectId":"website","status":"failed",
      "startedAt":"%s","input":"Input of exec-large",%s,"retryCount":1e400,"steps":[{"id":"s","nodeId":"n",%s}]}]=])
      :format(t.minute(99), large, large))
    local editor = t.list(root)
    editor:wait_text('Input of exec-large')
    editor:type('gg<CR>')
    editor:wait_text('Steps (1)')
    for _, line in ipairs({ '\n      "costUSD": 1e400', '\n      "duration": -1e400', '\n  "costUSD": 1e400', '\n  "retryCount": 1e400' }) do
      t.has(editor:text(), line, 'the run')
    end
    t.equal(editor:lua('return vim.v.errmsg'), '', 'the last error')
  end),

  check('amounts: no digit that nobody wrote, and spans that no number tells', function()
    local format = require('runlog.format')
    for amount, spelt in pairs({
      [0] = '$0.00', [0.1] = '$0.10', [0.1 + 0.2] = '$0.30', [0.000123456] = '$0.000123456', [1e-10] = '$0.00', [1 / 3] = '$0.333333333',
      [12345678.1] = '$12345678.10', [100000000.12345679] = '$100000000.12345679', [-2.5] = '-$2.50', [30] = '$30.00',
    }) do
      t.equal(format.cost(amount), spelt)
    end
    for millis, spelt in pairs({ [1e300] = 'ages', [-1e300] = '-ages', [2e16] = '5555555555 h 33 m', [3723000] = '1 h 02 m' }) do
      t.equal(format.duration(millis), spelt)
    end
  end),

  check('text: shortened to so many cells, however wide its characters are', function()
    local format = require('runlog.format')
    for text, short in pairs({
      [('漢'):rep(30)] = '漢漢漢漢…', ['a' .. ('漢'):rep(30)] = 'a漢漢漢漢…', [('e\204\129'):rep(30)] = ('e\204\129'):rep(9) .. '…',
      [('x'):rep(10)] = ('x'):rep(10), [('x'):rep(11)] = ('x'):rep(9) .. '…',
    }) do
      t.equal(format.shorten(text, 10), short, text)
    end
  end),

  check('setup: what cannot be used is refused and changes nothing, and a program may be below ~', function()
    local config = require('runlog.config')
    for _, options in ipairs({ { page = 50.5 }, { page = 0 }, { page = 1001 }, { piece = 1000 }, { piece = 61 * 1024 * 1024 }, { piece = 1 / 0 }, { page = '5' }, { pages = 5 } }) do
      local ok, trouble = pcall(config.set, options)
      t.equal(ok, false, vim.inspect(options))
      assert(vim.startswith(trouble, 'runlog: '), trouble)
    end
    t.equal({ config.page, config.piece }, { 100, 256 * 1024 }, 'the options')
    local root = t.root(1)
    vim.fn.mkdir(vim.env.HOME .. '/bin', 'p')
    assert(vim.uv.fs_symlink(t.binary, vim.env.HOME .. '/bin/runlog'))
    t.list(root, { binary = '~/bin/runlog' })
  end),

  check('corrupt file: counted, and listed as a problem with its file', function()
    local root = t.root(2)
    t.write(root .. '/website/executions/broken.json', '{ not json')
    local editor = t.list(root)
    editor:wait_screen('1 problem (P)')
    editor:type('P')
    local items = t.until_('the quickfix list', function()
      local items = editor:lua([[
        local found = {}
        for _, item in ipairs(vim.fn.getqflist()) do
          found[#found + 1] = { vim.api.nvim_buf_get_name(item.bufnr), item.type, item.text }
        end
        return found]])
      return #items > 0 and items
    end)
    t.equal(#items, 1, 'problems')
    t.equal(items[1][1], root .. '/website/executions/broken.json', 'the file')
    t.equal(items[1][2], 'E', 'its type')
    t.has(items[1][3], 'corrupt: not valid JSON', 'the problem')
    editor:type('<CR>')
    editor:wait_text('{ not json')
  end),

  check('statusline: today and what is running, from the daemon, without waiting', function()
    local root = t.root(1)
    local now = os.date('!%Y-%m-%dT%H:%M:%S.000Z')
    t.save(root, 'website', 'exec-today', { startedAt = now, costUSD = 0.1 })
    t.save(root, 'website', 'exec-today-2', { startedAt = now, costUSD = 0.2, status = 'running' })
    local editor = t.editor({ cwd = vim.fs.dirname(root) })
    editor:command([[set laststatus=2 statusline=%{v:lua.require'runlog'.statusline()}]])
    editor:wait_screen('$0.30 today · 1 running')
    t.save(root, 'website', 'exec-today-3', { startedAt = now, costUSD = 0.07 })
    editor:wait_screen('$0.37 today · 1 running')
    local took = editor:lua([[
      local from = vim.uv.hrtime()
      for _ = 1, 1000 do require('runlog').statusline() end
      return (vim.uv.hrtime() - from) / 1e6]])
    assert(took < 100, ('a thousand times took %d ms'):format(took))
    -- a day of 23 hours and one of 25, from their first second: 2026-03-29 and 2026-10-25 in Berlin
    for first, hours in pairs({ [1774738800] = 23, [1792879200] = 25 }) do
      t.equal(editor:lua([[return require('runlog.today').left_of_day(...)]], first), hours * 3600, 'the day')
    end
  end),

  check('clock: what is due at a time is done then, though the machine has slept since', function()
    local clock = require('runlog.clock')
    local time, passed, done = os.time, 0, {}
    os.time = function()
      return time() + passed
    end
    clock.look_every = 20
    for _, hours in ipairs({ 1, 3 }) do
      clock.after(os.time() + hours * 3600, function()
        done[#done + 1] = hours
      end)
    end
    local closed = clock.after(os.time() + 3600, function()
      done[#done + 1] = 'closed'
    end)
    vim.wait(100)
    t.equal(done, {}, 'what was done')
    closed:close()
    passed = 2 * 3600
    vim.wait(100)
    os.time = time
    t.equal(done, { 1 }, 'what was done')
    -- the statusline's midnight is such a time
    local editor = t.editor({ cwd = vim.fs.dirname(t.root(1)) })
    editor:lua([[require('runlog.clock').after = function(at) _G.left = at - os.time() end]])
    editor:command([[set laststatus=2 statusline=%{v:lua.require'runlog'.statusline()}]])
    t.until_('its midnight', function()
      local left = editor:lua('return _G.left or 0')
      return left > 0 and left <= 25 * 3600
    end)
  end),

  check('statusline: a run that turns stale is no longer running, and a folder without runs has no cost', function()
    local root = t.root(1)
    local aside = t.save(t.folder('aside'), 'website', 'exec-silent', { startedAt = t.minute(1), status = 'running' })
    assert(vim.uv.fs_utime(aside, os.time() - 3594, os.time() - 3594))
    assert(vim.uv.fs_rename(aside, root .. '/website/executions/exec-silent.json'))
    local editor = t.editor({ cwd = vim.fs.dirname(root) })
    editor:lua([[require('runlog.today').running_every = 500]])
    editor:command([[set laststatus=2 statusline=%{v:lua.require'runlog'.statusline()}here]])
    editor:wait_screen('$0.00 today · 1 running')
    editor:wait_screen('$0.00 todayhere')
    editor:command('cd ' .. t.folder('nothing'))
    t.until_('the cost to go', function()
      return editor:screen():find('here', 1, true) and not editor:screen():find('today', 1, true)
    end)
    editor:command('cd ' .. vim.fs.dirname(root))
    editor:wait_screen('$0.00 todayhere')
  end),

  check('time zone: what TZ means, by a name that the daemon knows', function()
    local root = t.root(1)
    local editor = t.editor({ cwd = vim.fs.dirname(root) })
    local names = {}
    for tz, name in pairs({
      ['Asia/Tokyo'] = 'Asia/Tokyo', [':Asia/Tokyo'] = 'Asia/Tokyo', ['posix/Asia/Tokyo'] = 'Asia/Tokyo', CET = 'CET', EST5EDT = 'EST5EDT',
      ['GMT+0'] = 'GMT+0', ['/usr/share/zoneinfo/Europe/Berlin'] = 'Europe/Berlin', ['CET-1CEST'] = 'UTC', ['<+03>-3'] = 'Etc/GMT-3',
      ['JST-9'] = 'Etc/GMT-9', EST5 = 'Etc/GMT+5', GMT0 = 'GMT0', UTC = 'UTC', ['XYZ-99'] = 'UTC',
      ['/nowhere'] = 'UTC', nowhere = 'UTC',
    }) do
      names[tz] = editor:lua([[
        vim.env.TZ, package.loaded['runlog.zone'] = ..., nil
        return require('runlog.zone').name()]], tz)
      t.equal(names[tz], name, tz)
      t.equal(#t.ask(root, 'executions/list', { timezone = names[tz], where = 'startedAt < today' }).executions, 1, 'runs by ' .. tz)
    end
    -- one that was copied goes by a name of the same
    local copy = root .. '/localtime'
    assert(vim.uv.fs_copyfile('/usr/share/zoneinfo/Europe/Berlin', copy))
    local held = editor:lua([[
      vim.env.TZ, package.loaded['runlog.zone'] = ..., nil
      return require('runlog.zone').name()]], copy)
    t.equal(vim.fn.readblob('/usr/share/zoneinfo/' .. held), vim.fn.readblob(copy), held)
    t.equal(#t.ask(root, 'executions/list', { timezone = held, where = 'startedAt < today' }).executions, 1, 'runs by ' .. held)
    local here = editor:lua([[
      local names = {}
      for i, tz in ipairs({ '', ':/etc/localtime' }) do
        vim.env.TZ, package.loaded['runlog.zone'] = tz, nil
        names[i] = require('runlog.zone').name()
      end
      return names]])
    t.equal(here, { here[1], here[1] }, 'the zone of this machine')
  end),

  check('statusline: says nothing of a program that has gone, and goes on once it is back', function()
    local root = t.root(1)
    local function today(id, cost)
      t.save(root, 'website', id, { startedAt = os.date('!%Y-%m-%dT%H:%M:%S.000Z'), costUSD = cost })
    end
    local program = t.folder('bin') .. '/runlog'
    assert(vim.uv.fs_symlink(t.binary, program))
    today('exec-one', 0.5)
    local editor = t.editor({ cwd = vim.fs.dirname(root), binary = program })
    editor:lua([[require('runlog.today').retry_every = 500]])
    editor:command([[set laststatus=2 statusline=%{v:lua.require'runlog'.statusline()}here]])
    editor:wait_screen('$0.50 todayhere')
    assert(vim.uv.fs_unlink(program))
    editor:lua("vim.uv.kill(require('runlog.client').all()[1].process.handle:get_pid(), 'sigkill')")
    t.until_('the cost to go', function()
      return editor:screen():find('here', 1, true) and not editor:screen():find('today', 1, true)
    end)
    today('exec-two', 0.25)
    assert(vim.uv.fs_symlink(t.binary, program))
    editor:wait_screen('$0.75 todayhere')
  end),

  check('statusline: starts nothing where there are no runs', function()
    local editor = t.editor({ cwd = t.folder('nothing') })
    editor:command([[set laststatus=2 statusline=%{v:lua.require'runlog'.statusline()}here]])
    editor:wait_screen('here')
    vim.wait(300) -- for what must not happen
    t.equal(editor:lua("return #require('runlog.client').all()"), 0, 'clients')
  end),

  check('statusline: is there as soon as the first run has come', function()
    local folder = t.folder('later')
    t.write(folder .. '/.git/HEAD', '')
    local editor = t.editor({ cwd = folder })
    editor:command([[set laststatus=2 statusline=%{v:lua.require'runlog'.statusline()}here]])
    editor:wait_screen('here')
    editor:type(':Runlog<CR>')
    editor:wait_text('There is no folder of runs here.')
    t.save(folder .. '/projects', 'website', 'exec-first', { startedAt = os.date('!%Y-%m-%dT%H:%M:%S.000Z'), costUSD = 0.1 })
    editor:wait_text('Input of exec-first')
    editor:wait_screen('$0.10 today')
  end),

  check('list: a folder whose name is a pattern has one list', function()
    local folder = t.folder('cur{a}')
    t.save(folder .. '/projects', 'website', 'exec-1')
    local editor = t.list(folder .. '/projects')
    for _ = 1, 2 do
      editor:type(':enew<CR>:Runlog<CR>')
      editor:wait_text('Input of exec-1')
    end
    t.equal(editor:lua([[return #vim.tbl_filter(function(buf)
      return vim.bo[buf].filetype == 'runlog'
    end, vim.api.nvim_list_bufs())]]), 1, 'lists')
  end),

  check('list: one that is closed with :bdelete has gone, and the next one is whole', function()
    local root = t.root(2)
    local editor = t.list(root)
    for _, again in ipairs({ ':bdelete<CR>', ':bdelete | Runlog<CR>', ':edit<CR>:bdelete | Runlog<CR>' }) do
      editor:type(again)
      if again == ':bdelete<CR>' then
        t.until_('the client to go', function()
          return editor:lua("return #require('runlog.client').all()") == 0
        end)
        editor:type(':Runlog<CR>')
      end
      t.until_('the list', function()
        return #editor:runs() == 2 and editor:lua('return vim.bo.filetype') == 'runlog'
      end)
      t.save(root, 'website', 'exec-come', { startedAt = t.minute(99) })
      editor:wait_text('Input of exec-come')
      editor:type('ggdd')
      t.until_('it to go', function()
        return #editor:runs() == 2 and #listed(root) == 2
      end)
    end
    -- :edit unloads it, too, but loads it again
    local buf = editor:lua('return vim.api.nvim_get_current_buf()')
    editor:type(':edit<CR>')
    editor:wait_text('Task number 2')
    t.equal(editor:lua('return vim.api.nvim_get_current_buf()'), buf, 'the buffer')
  end),

  check('list: a session has it again, and so has :edit of its name', function()
    local root = t.root(2)
    local session = t.folder('session') .. '/Session.vim'
    local editor = t.list(root)
    editor:command('mksession ' .. session)
    editor:close()
    for _, command in ipairs({ 'source ' .. session, 'edit runlog://' .. root }) do
      editor = t.editor({ cwd = vim.fs.dirname(root) })
      editor:command(command)
      editor:wait_screen('Task number 2')
      t.equal(editor:lua('return vim.bo.filetype'), 'runlog', 'the filetype')
      t.save(root, 'website', 'exec-come', { startedAt = t.minute(99) })
      editor:wait_screen('Input of exec-come')
      editor:type('ggdd')
      t.until_('it to go', function()
        return #editor:runs() == 2
      end)
      editor:close()
    end
  end),

  check('close: the last window stays, whatever floats above it', function()
    local root = t.root(1)
    local editor = t.list(root)
    editor:lua([[vim.api.nvim_open_win(vim.api.nvim_create_buf(false, true), false,
      { relative = 'editor', row = 1, col = 60, width = 20, height = 2, focusable = false })]])
    editor:type('q')
    t.until_('what it showed before', function()
      return editor:lua("return vim.bo.filetype == '' and #vim.api.nvim_list_wins() == 2")
    end)
  end),

  check('list and run: a window that may not show another buffer is left as it is, and others show them', function()
    local root = t.root(2)
    local editor = t.editor({ cwd = vim.fs.dirname(root) })
    editor:command('set winfixbuf')
    editor:type(':Runlog<CR>')
    editor:wait_screen('runlog: E1513')
    t.equal(editor:lua("return { #require('runlog.client').all(), #vim.api.nvim_list_bufs() }"), { 0, 1 }, 'what is left')
    editor:type(':set nowinfixbuf | Runlog<CR>')
    editor:wait_text('Task number 2')
    editor:type(':set winfixbuf<CR>gg<CR>')
    editor:wait_screen('runlog: E1513')
    editor:type(':set nowinfixbuf<CR>gg<CR>')
    editor:wait_text('Output of exec-0002')
  end),

  check('delete: a count before it means as many runs, which one undo has back', function()
    local root = t.root(6)
    local editor = t.list(root)
    editor:type('j3dd')
    t.until_('three to go', function()
      return #editor:runs() == 3
    end)
    t.equal(editor:runs(), { 'website/exec-0006', 'website/exec-0002', 'website/exec-0001' }, 'runs')
    editor:type('u')
    t.until_('them back', function()
      return #editor:runs() == 6
    end)
  end),

  check('delete: what goes is what is shown, though a run that is not shown yet has come above', function()
    local root = t.root(6)
    local editor = t.list(root)
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().subscription ~= nil")
    end)
    editor:type('2j')
    t.until_('the cursor', function()
      return editor:view().lnum == 3
    end)
    editor:lua([[
      local list = require('runlog.list').current()
      list.painted_at = vim.uv.now() -- so that it is not painted before the keys are typed
      list:told({ kind = 'saved', created = true, summary = {
        projectId = 'website', id = 'exec-come', status = 'completed', startedAt = ... } })
      vim.cmd.normal('2dd')]], t.minute(99))
    t.until_('two to go', function()
      return #listed(root) == 4
    end)
    wait_equal(editor, root)
    t.equal(editor:runs(), { 'website/exec-0006', 'website/exec-0005', 'website/exec-0002', 'website/exec-0001' }, 'runs')
  end),

  check('selection: runs that come do not widen it, and are shown once it is over; a run that is read keeps it too', function()
    local root = t.root(6)
    local editor = t.list(root)
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().subscription ~= nil")
    end)
    local function come(id, minute)
      t.save(root, 'website', id, { startedAt = t.minute(minute) })
      t.until_('it to be told', function()
        return editor:lua("return require('runlog.list').current().places[...] ~= nil", 'website/' .. id)
      end)
      vim.wait(300) -- for what must not happen
    end
    editor:type('jjVj')
    t.until_('the selection', function()
      return vim.rpcrequest(editor.channel, 'nvim_get_mode').mode == 'V'
    end)
    local before = editor:runs()
    come('exec-come-1', 98)
    come('exec-come-2', 99)
    t.equal(editor:runs(), before, 'the list')
    editor:type('<Esc>')
    t.until_('the two', function()
      return #editor:runs() == 8
    end)
    editor:type('gv')
    come('exec-come-3', 100)
    editor:type('<Esc>')
    t.until_('the third', function()
      return #editor:runs() == 9
    end)
    t.has(editor:view().cursor, 'Task number 3', 'the cursor line')
    editor:type('kVj')
    come('exec-come-4', 101)
    editor:type('d')
    t.until_('two to go', function()
      return #listed(root) == 8
    end)
    wait_equal(editor, root)
    t.equal(editor:runs(), { 'website/exec-come-4', 'website/exec-come-3', 'website/exec-come-2', 'website/exec-come-1',
      'website/exec-0006', 'website/exec-0005', 'website/exec-0002', 'website/exec-0001' }, 'runs')
    editor:type('gg<CR>')
    editor:wait_text('Output of exec-come-4')
    editor:type('GV')
    t.save(root, 'website', 'exec-come-4', { startedAt = t.minute(101), input = 'one\ntwo', output = 'Another' })
    vim.wait(1500)
    t.has(editor:text(), 'Output of exec-come-4', 'the run')
    editor:type('<Esc>')
    editor:wait_text('Another')
  end),

  check('list: in a narrow window the name of a run is in sight', function()
    local root = t.root(2)
    local editor = t.list(root)
    t.has(editor:lines()[1], '1.5 s', 'the row')
    editor:type(':vsplit | vertical resize 50<CR>')
    editor:wait_screen('$0.01  Task number 2')
    editor:type(':only<CR>')
    editor:wait_text('1.5 s')
    t.save(root, 'a-project-of-20-signs', 'exec-other', { startedAt = t.minute(99) })
    editor:wait_screen('website               Task number 2')
    editor:type(':vsplit | vertical resize 44<CR>')
    editor:wait_screen('$0.01  Task number 2')
  end),

  check('stale: a run that is silent for too long is marked', function()
    local root = t.root(1)
    local file = t.save(root, 'website', 'exec-silent', { startedAt = t.minute(99), status = 'running' })
    assert(vim.uv.fs_utime(file, os.time() - 7200, os.time() - 7200))
    local editor = t.list(root)
    editor:wait_text('stale')
    -- one that turns so while it is looked at, in the list and as a run
    local aside = t.save(t.folder('aside'), 'website', 'exec-silent', { startedAt = t.minute(99), status = 'running' })
    assert(vim.uv.fs_utime(aside, os.time() - 3594, os.time() - 3594))
    assert(vim.uv.fs_rename(aside, file))
    editor:wait_text('running')
    editor:type(':split<CR>gg<CR>')
    editor:wait_text('\nrunning\n')
    -- a painting does not leave the timer of the one before behind
    local more = editor:lua([[
      local function timers()
        local count = 0
        vim.uv.walk(function(handle)
          count = count + (handle:get_type() == 'timer' and 1 or 0)
        end)
        return count
      end
      local before = timers()
      for _ = 1, 50 do
        for _, win in ipairs(vim.api.nvim_list_wins()) do
          vim.api.nvim_win_call(win, function()
            vim.cmd('silent edit')
          end)
        end
      end
      return timers() - before]])
    assert(more < 10, more .. ' timers more')
    editor:wait_text('\nstale\n')
    editor:type('q')
    editor:wait_text('stale  ')
  end),

  check('checkhealth: all is well here, and says why not elsewhere', function()
    local root = t.root(2)
    local editor = t.editor({ cwd = vim.fs.dirname(root) })
    editor:type(':checkhealth runlog<CR>')
    editor:wait_text('One daemon is shared by all windows', 20)
    editor:wait_text('2 runs in 1 projects')
    assert(not editor:text():find('ERROR', 1, true), editor:text())
    editor:close()
    editor = t.editor({ cwd = vim.fs.dirname(root), binary = '/nowhere/runlog' })
    editor:type(':checkhealth runlog<CR>')
    editor:wait_text('There is no program /nowhere/runlog.')
  end),

  check('help: tags are built without complaint, every key is in it, and g? shows the keys', function()
    local root = t.root(1)
    local doc = t.folder('doc')
    vim.fn.writefile(vim.fn.readfile(vim.env.RUNLOG_PLUGIN .. '/doc/runlog.txt'), doc .. '/runlog.txt')
    vim.cmd.helptags(doc)
    local tags = table.concat(vim.fn.readfile(doc .. '/tags'), '\n')
    for _, tag in ipairs({ 'runlog', ':Runlog', 'runlog-list', 'runlog-run', 'runlog-filter', 'runlog-setup', 'runlog-statusline', 'runlog-highlights' }) do
      t.has('\n' .. tags, '\n' .. tag .. '\t', 'the tags')
    end
    local help = table.concat(vim.fn.readfile(doc .. '/runlog.txt'), '\n')
    for _, view in ipairs({ 'list', 'run' }) do
      for _, key in ipairs(require('runlog.' .. view).keys) do
        t.has(help, '\n' .. key[2], 'the help')
      end
    end
    for name in pairs(require('runlog.config')) do
      if name ~= 'set' and name ~= 'limits' then
        t.has(help, '\n' .. name, 'the help')
      end
    end
    for group in io.open(vim.env.RUNLOG_PLUGIN .. '/plugin/runlog.lua'):read('*a'):gmatch('(Runlog%a+) =') do
      t.has(help, '\n' .. group, 'the help')
    end
    local editor = t.list(root)
    editor:type('g?')
    editor:wait_screen('undo the last deletion')
    editor:type('q')
    t.until_('the list', function()
      return #editor:runs() == 1
    end)
  end),

  check('leaving: no process of ours is left but the shared daemon', function()
    local root = t.root(1)
    local editor = t.list(root)
    local forwarder = editor:lua("return require('runlog.list').current().client.process.handle:get_pid()")
    editor:type(':enew<CR>:bwipeout 1<CR>:lua for _, b in ipairs(vim.api.nvim_list_bufs()) do if vim.bo[b].filetype == "runlog" then vim.cmd.bwipeout(b) end end<CR>')
    t.until_('the forwarder to end', function()
      return not vim.uv.fs_stat('/proc/' .. forwarder .. '/fd') or #vim.fn.readdir('/proc/' .. forwarder .. '/fd') == 0
    end)
    editor:type(':Runlog<CR>')
    t.until_('the list', function()
      return #editor:runs() == 1
    end)
    forwarder = editor:lua("return require('runlog.list').current().client.process.handle:get_pid()")
    pcall(editor.type, editor, ':qa!<CR>') -- it may be gone before it answers
    t.until_('the forwarder to end', function()
      return not vim.uv.fs_stat('/proc/' .. forwarder)
    end)
  end),

  check('leaving: what is done just before is done, of many runs too', function()
    local root = t.root(150)
    local editor = t.list(root, { setup = ("lua require('runlog').setup({ command = %q, page = 1000 })"):format(t.binary) })
    t.until_('the daemon', function()
      return editor:lua("return require('runlog.list').current().client.server ~= nil")
    end)
    pcall(editor.lua, editor, [[
      local list = require('runlog.list').current()
      require('runlog.actions').delete(list.client, vim.list_slice(list.rows))
      vim.cmd('qall!')]])
    vim.fn.jobwait({ editor.job }, 10000)
    t.equal(listed(root), {}, 'what is left')
  end),

  check('leaving: an undo of more than one request is done to its end', function()
    local root = t.root(30)
    local editor = t.list(root)
    editor:lua([[
      local actions, list = require('runlog.actions'), require('runlog.list').current()
      actions.restored_at_once = 10
      actions.delete(list.client, vim.list_slice(list.rows))]])
    editor:wait_screen('Deleted 30 runs; u has it back.')
    pcall(editor.lua, editor, [[
      require('runlog.actions').undo(require('runlog.client').all()[1])
      vim.cmd('qall!')]])
    vim.fn.jobwait({ editor.job }, 10000)
    t.equal(#listed(root), 30, 'runs that are back')
  end),
})
