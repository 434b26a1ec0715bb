;;; checks.el --- What the package does, in a real Emacs  -*- lexical-binding: t; -*-

;;; Commentary:

;; Tests for ERT; test/run gives them a terminal, a daemon and a place.

;;; Code:

;; that starts processes where the current buffer is, which may be a folder that has gone
(setq native-comp-deferred-compilation nil)

(load (expand-file-name "test/harness.el" (getenv "RUNLOG_PACKAGE")) nil t)

(t-check t-01-list
    "list: newest first, with status, time, cost and label; then a run is opened"
  (let ((root (t-root 5)))
    (t-list root)
    (should (equal (t-runs) (t-listed root)))
    (dolist (part '("completed" "2026-02-01 01:05" "1.5 s" "$0.01" "Task number 5"))
      (t-has (t-line 1) part))
    (t-has (t-line 3) "It broke.")
    (t-has (t-mode-line) "5 runs")
    (t-type "n n RET")
    (should (derived-mode-p 'runlog-run-mode))
    (t-until "the run" (string-search "Output of exec-0003" (t-text)))
    (t-has (t-text) "failed")
    (t-has (t-text) "* Error\n  It broke.")
    (t-has (t-text) "* Input\n  Task number 3")
    (t-type "q")
    (should (derived-mode-p 'runlog-list-mode))
    (t-has (t-line) "Task number 3")))

(t-check t-02-run
    "run: an outline of its steps, gone to by n and p, JSON in its own order"
  (let ((root (t-root 1)))
    (t-save root "website" "exec-steps" `(:startedAt ,(t-minute 99))
            "\"steps\":[
      {\"id\":\"a\",\"nodeId\":\"collect\",\"nodeType\":\"agent\",\"status\":\"completed\",\"duration\":14492,\"costUSD\":0.0100,
       \"input\":{\"zebra\":1.5,\"apple\":[1,2,{}],\"none\":null,\"no\":false},\"output\":\"first\\nsecond\"},
      {\"id\":\"b\",\"nodeId\":\"write\",\"status\":\"failed\",\"error\":\"no pen\",\"output\":[]}]")
    (t-list root)
    (t-type "RET")
    (t-until "the steps" (string-search "Steps (2)" (t-text)))
    (t-has (t-text) "      \"zebra\": 1.5,\n      \"apple\": [\n        1,\n        2,\n        {}\n      ],\n      \"none\": null,\n      \"no\": false")
    (t-has (t-text) "    first\n    second")
    (t-has (t-text) "14.4 s  $0.01")
    (cl-flet ((hidden (part)
                (save-excursion
                  (goto-char (point-min))
                  (search-forward part)
                  (invisible-p (1- (point))))))
      (should (hidden "zebra"))
      (should-not (hidden "Output of"))
      (t-type "n")
      (t-has (t-line) "collect")
      (t-type "RET")
      (should-not (hidden "zebra"))
      (t-type "n")
      (t-has (t-line) "write")
      (t-type "p TAB")
      (should (hidden "zebra")))))

(t-check t-03-pieces
    "run: a large text comes piece by piece, whole in the end"
  (let* ((root (t-root 1))
         (runlog-piece 20000)
         (lines (cl-loop for i from 1 to 3000 collect (format "line %04d ä😀" i))))
    (t-save root "website" "exec-large"
            `(:startedAt ,(t-minute 99) :output ,(string-join lines "\n")
              :steps ,(vconcat (cl-loop for i from 1 to 150
                                        collect `(:id ,(format "s%d" i)
                                                  :nodeId ,(format "node-%d" i)
                                                  :output ,(make-string 500 ?o))))))
    (t-list root)
    (t-type "RET")
    (t-until "the run" (string-search "characters are shown; RET loads more" (t-text)))
    (pcase-dolist (`(,what . ,most) '(("characters are shown" . 3) ("elements are shown" . 20)))
      (while (progn (goto-char (point-min)) (search-forward what nil t))
        (should (>= (cl-decf most) 0))
        (let ((before (buffer-size)))
          (t-type "RET")
          (t-until "more" (/= before (buffer-size))))))
    (t-has (t-text) (concat "  " (string-join lines "\n  ")))
    (t-has (t-text) "node-150")))

(t-check t-03-long
    "run: a long line is broken where it is shown, and whole where it is copied"
  (let* ((root (t-root 1))
         (words (mapconcat (lambda (i) (format "* w%d ä😀" i)) (number-sequence 1 2000) " "))
         kill-ring)
    (t-save root "website" "exec-long" `(:startedAt ,(t-minute 99) :output ,words))
    (t-list root)
    (t-type "RET")
    (t-until "the run" (string-search "w2000" (t-text)))
    (goto-char (point-min))
    (while (not (eobp))
      (should (< (- (line-end-position) (point)) 2010))
      (forward-line))
    (should (= 2 (how-many "^\\* " (point-min) (point-max))))
    (kill-ring-save (point-min) (point-max))
    (t-has (current-kill 0) (concat "  " words))))

(t-check t-03-recorded
    "run: what was loaded stays while it is recorded, and so does the place in it"
  (let* ((root (t-root 1))
         (runlog-piece 20000)
         (lines (lambda (name count)
                  (string-join (cl-loop for i from 1 to count
                                        collect (format "%s line %05d" name i))
                               "\n")))
         (save (lambda (round &optional into)
                 (t-save (or into root) "website" "exec-live"
                         `(:startedAt ,(t-minute 99) :status "running"
                           :input ,(funcall lines "input" (+ 10 (* 10 round)))
                           :output ,(funcall lines "output" (+ 12000 (* 100 round)))
                           :steps
                           ,(vconcat
                             (cl-loop for i from 1 to (+ 40 round)
                                      collect
                                      `(:id ,(format "s%d" i) :nodeId ,(format "node-%d" i)
                                        :status ,(if (and (= i 40) (= round 0)) "running"
                                                   "completed")
                                        :output ,(funcall lines "step" 20))))))))
         (count (lambda (words)
                  (count-matches words (point-min) (point-max))))
         outputs steps before swap)
    (funcall save 0)
    (t-list root)
    (t-type "RET")
    (t-until "the run" (string-search "characters are shown" (t-text)))
    (dotimes (_ 6)
      (let ((size (buffer-size)))
        (goto-char (point-min))
        (re-search-forward "^  … .* characters are shown")
        (t-type "RET")
        (t-until "more" (< size (buffer-size)))))
    (goto-char (point-min))
    (search-forward "** 3  completed")
    (t-type "RET")
    (should-not (outline-invisible-p (line-end-position)))
    (setq outputs (funcall count "output line")
          steps (funcall count "node-"))
    (goto-char (point-min))
    (search-forward (format "output line %05d" (- outputs 20)))
    (recenter 0)
    (forward-line 4)
    (setq before (t-view))
    (dotimes (round 3)
      (funcall save (1+ round))
      (t-until "it to be read" (string-search (format "input line %05d" (+ 20 (* 10 round)))
                                              (t-text)))
      (should (equal before (t-view)))
      (should (<= outputs (funcall count "output line")))
      (should (<= steps (funcall count "node-"))))
    ;; saved between two pieces, of what somebody loads and of a reading
    (cl-letf* ((request (symbol-function 'runlog-client-request))
               ((symbol-function 'runlog-client-request)
                (lambda (client method params &rest more)
                  (when (and swap (plist-get params :fields))
                    (rename-file swap (concat root "/website/executions/exec-live.json") t)
                    (setq swap nil))
                  (apply request client method params more))))
      (setq swap (funcall save 4 (t-folder "aside")))
      (goto-char (point-min))
      (re-search-forward "^  … .* characters are shown")
      (t-type "RET")
      (t-until "it to be read" (string-search "input line 00050" (t-text)))
      (should (< outputs (funcall count "output line")))
      (setq outputs (funcall count "output line"))
      (goto-char (point-min))
      (search-forward "output line 00700")
      (recenter 0)
      (forward-line 4)
      (setq before (t-view)
            swap (funcall save 26 (t-folder "aside")))
      (funcall save 25)
      (t-until "it to be read" (string-search "input line 00270" (t-text)))
      (should (equal before (t-view)))
      (should (<= outputs (funcall count "output line"))))
    (goto-char (point-min))
    (let (open)
      (while (re-search-forward "^\\*\\* \\([0-9]+\\)" nil t)
        (unless (outline-invisible-p (line-end-position))
          (push (match-string-no-properties 1) open)))
      (should (equal open '("3"))))))

(t-check t-04-live
    "live: a run that the engine saves appears, changes and goes, and nothing moves"
  (let ((root (t-root 60)) before)
    (t-list root)
    (t-until "60 runs" (= 60 (length (t-runs))))
    (goto-char (point-min))
    (forward-line 19)
    (recenter 0)
    (forward-line 5)
    (setq before (t-view))
    (t-save root "website" "exec-new"
            `(:startedAt ,(t-minute 500) :status "running" :input "Fresh"))
    (t-until "the new run" (string-search "Fresh" (t-line 1)))
    (t-has (t-line 1) "running")
    (should (equal before (t-view)))
    (t-has (t-mode-line) "↑20")
    (t-save root "website" "exec-new" `(:startedAt ,(t-minute 500) :input "Fresh"))
    (t-until "its new status" (string-search "completed" (t-line 1)))
    (delete-file (concat root "/website/executions/exec-new.json"))
    (t-until "it to go" (not (string-search "Fresh" (t-text))))
    (t-until-equal root)
    (should (equal before (t-view)))
    (should (= 25 (line-number-at-pos)))))

(defvar t-seen nil "What was seen while something was typed.")

(defun t-mistake ()
  "Return what is said of the mistake in the minibuffer, and where point is."
  (with-current-buffer (window-buffer (minibuffer-window))
    (list (- (point) (minibuffer-prompt-end))
          (and runlog-list--filter-overlays
               (substring-no-properties
                (overlay-get (cadr runlog-list--filter-overlays) 'after-string))))))

(t-check t-05-filter
    "filter: applied by the daemon, completed, and a wrong one shows where it is wrong"
  (let ((root (t-root 9)))
    (t-list root)
    (t-type "/ s t a t TAB SPC = SPC f a i TAB RET")
    (should (equal runlog-list-where "status = failed"))
    (t-until "three runs" (= 3 (length (t-runs))))
    (should (equal (t-runs) (t-listed root :where "status = failed")))
    (t-has (t-mode-line) "filter status = failed")
    ;; what comes and passes is shown, what does not is not
    (t-save root "website" "exec-good" `(:startedAt ,(t-minute 98)))
    (t-save root "website" "exec-bad" `(:startedAt ,(t-minute 99) :status "failed"))
    (t-until "the fourth" (equal (car (t-runs)) "website/exec-bad"))
    (t-save root "website" "exec-bad" `(:startedAt ,(t-minute 99)))
    (t-until-equal root :where "status = failed")
    (define-key runlog-list--filter-map [f5] (lambda () (interactive) (setq t-seen (t-mistake))))
    (t-type "/ C-a C-k c o s t U S D SPC > SPC a n d RET <f5> C-a C-k RET")
    (should (equal t-seen '(10 " [at 11: expected an amount such as 0.5, found `and`]")))
    (t-until-equal root)
    (t-type "/ s t a t s u SPC = SPC 1 RET <f5> C-a C-k RET")
    (should (= 0 (car t-seen)))
    (t-has (cadr t-seen) "did you mean status?")
    (execute-kbd-macro (vconcat (kbd "/") "project = \"ä😀\" or bad" (kbd "RET <f5> C-a C-k RET")))
    (should (>= (car t-seen) (length "project = \"ä😀\" or ")))))

(t-check t-05-passing
    "filter: what passes it no more as time passes goes, and nothing is asked for where nobody looks"
  (let ((root (t-root 1))
        (runlog-list--passing-every 0.6))
    (cl-loop for (id ago) in '(("exec-new" 0) ("exec-old" 50))
             do (t-save root "website" id
                        (list :startedAt (format-time-string "%Y-%m-%dT%H:%M:%S.000Z"
                                                             (- (float-time) ago) t))))
    (t-list root)
    (runlog-list-filter "startedAt >= -1m")
    (t-until "both" (equal (t-runs) '("website/exec-new" "website/exec-old")))
    (t-until "the new one" (equal (t-runs) '("website/exec-new")) 20)
    (let ((list (current-buffer))
          (asked 0))
      (switch-to-buffer "*scratch*")
      (redisplay)
      (accept-process-output nil 0.7) ; for what is under way
      (setq asked (buffer-local-value 'runlog-list--asked list))
      (sleep-for 1.5) ; for what must not happen
      (should (= asked (buffer-local-value 'runlog-list--asked list)))
      (switch-to-buffer list)
      (t-until "it to be asked for again and again" (> runlog-list--asked (+ 2 asked))))))

(t-check t-06-status
    "status: one of them only"
  (let ((root (t-root 9)))
    (t-list root)
    (t-type "s f a i l e d RET")
    (t-until "three runs" (= 3 (length (t-runs))))
    (t-has (t-mode-line) "status failed")
    ;; what is told of runs that it does not show is not kept
    (t-save root "website" "exec-0001" '(:output "again"))
    (t-save root "website" "exec-0010" '(:status "failed"))
    (t-until "four runs" (= 4 (length (t-runs))))
    (should (zerop (hash-table-count runlog-list--gone)))))

(t-check t-07-search
    "search: hits with snippets, and a run that comes later"
  (let ((root (t-root 9)))
    (t-save root "website" "exec-hit"
            `(:startedAt ,(t-minute 50) :output "All is well with the wombat today."))
    (t-list root)
    (t-type "S w o m b a t RET")
    (t-until "the hit" (equal (t-runs) '("website/exec-hit")))
    (t-has (t-text) "/output: All is well with the wombat today.")
    (t-save root "website" "exec-hit-2"
            `(:startedAt ,(t-minute 51) :status "failed" :error "No wombat\nwas seen."))
    (t-until "the second hit" (= 2 (length (t-runs))))
    (t-has (t-text) "/error: No wombat was seen.")
    (t-type "S C-a C-k n o t h i n g n e s s RET")
    (t-until "no hit" (string-search "Nothing has nothingness." (t-text)))
    (t-type "x")
    (t-until-equal root)))

(t-check t-08-delete
    "delete and undo: one run, several, and from the run itself"
  (let* ((root (t-root 5))
         (file (concat root "/website/executions/exec-0004.json"))
         (stored (with-temp-buffer (insert-file-contents-literally file) (buffer-string))))
    (t-list root)
    (t-type "n d")
    (t-until "it to go" (= 4 (length (t-runs))))
    (should-not (file-exists-p file))
    (t-type "u")
    (t-until "it to be back" (= 5 (length (t-runs))))
    (should (equal stored (with-temp-buffer (insert-file-contents-literally file)
                                            (buffer-string))))
    (transient-mark-mode)
    (t-type "M-< C-SPC n n n d")
    (t-until "three to go" (= 2 (length (t-runs))))
    (t-type "u")
    (t-until "three to be back" (= 5 (length (t-runs))))
    (t-type "M-< RET")
    (t-until "the run" (string-search "Output of" (t-text)))
    (t-type "d")
    (t-until "it to be gone" (string-search "deleted" (t-mode-line)))
    (t-type "u")
    (t-until "it to be back" (not (string-search "deleted" (t-mode-line))))
    (t-type "q")
    (t-until-equal root)))

;; (kind . id) of each change that the view of a run was told
(defvar t-told nil)

(t-check t-08-others
    "run: what becomes of others of its project is not taken for its own"
  (let* ((root (t-root 3))
         (file (lambda (id) (format "%s/website/executions/%s.json" root id)))
         (note (lambda (change)
                 (push (cons (plist-get change :kind) (plist-get change :executionId)) t-told)))
         (told (lambda (kind id)
                 (t-until (concat kind " " id) (member (cons kind id) t-told))
                 (t-mode-line))))
    (t-list root)
    (t-type "M-< RET")
    (t-until "the run" (string-search "Output of exec-0003" (t-text)))
    (setq t-told nil)
    (advice-add 'runlog-run--told :after note)
    (unwind-protect
        (progn
          (t-save root "website" "exec-0002" '(:status "failed"))
          (should-not (string-search "any more" (funcall told "left" "exec-0002")))
          (delete-file (funcall file "exec-0001"))
          (should-not (string-search "any more" (funcall told "deleted" "exec-0001")))
          (delete-file (funcall file "exec-0003"))
          (t-has (funcall told "deleted" "exec-0003") "it is not there any more"))
      (advice-remove 'runlog-run--told note))))

(t-check t-09-more
    "load more: the rest comes on the last row, and point stays"
  (let ((root (t-root 230)))
    (t-list root)
    (t-until "a page" (= 100 (length (t-runs))))
    (t-has (t-text) "130 more")
    (t-type "M-> p RET")
    (t-until "the second page" (= 200 (length (t-runs))))
    (should (= 101 (line-number-at-pos)))
    (t-type "+")
    (t-until "all" (= 230 (length (t-runs))))
    (should (equal (t-runs) (t-listed root)))
    (should (= 230 (count-lines (point-min) (point-max))))))

(t-check t-10-annotate
    "pin, tag and note: shown at once"
  (let ((root (t-root 3)))
    (t-list root)
    (t-until "the daemon" (runlog-client-server runlog-client))
    (should (runlog-client-can runlog-client "executions/annotate"))
    (t-type "*")
    (t-until "the pin" (string-prefix-p "*" (t-line 1)))
    (t-type "t u r g e n t , SPC l a t e r RET")
    (t-until "the tags" (string-search "#later #urgent" (t-line 1)))
    (t-type "N a s k SPC B o b RET")
    (t-until "the note" (string-search "“ask Bob”" (t-line 1)))
    (t-type "t C-a C-k RET")
    (t-until "the tags to go" (not (string-search "#" (t-line 1))))
    (t-type "*")
    (t-until "the pin to go" (string-prefix-p " " (t-line 1)))))

(defun t-annotate (root id &rest change)
  "Make CHANGE to the run ID of ROOT, past the editor."
  (t-ask root "executions/annotate" `(:projectId "website" :executionId ,id ,@change)))

(t-check t-10-tags
    "tags: blanks and commas in them stay, and only what was changed is sent"
  (let ((root (t-root 1)))
    (t-annotate root "exec-0001" :tags ["needs review" "a,b" "z"])
    (t-list root)
    (t-until "the tags" (string-search "#a,b #needs review #z" (t-line 1)))
    (t-until "the daemon" (runlog-client-server runlog-client))
    (should-not (t-sent (t-type "t RET")))
    ;; another gives it one meanwhile
    (t-annotate root "exec-0001" :addTags ["theirs"])
    (should (equal (t-sent (execute-kbd-macro
                            (vconcat (kbd "t C-a C-k") "b, needs review , late one," (kbd "RET"))))
                   '((:addTags ["late one"] :removeTags ["z"]))))
    (t-until "the tags" (string-search "#a,b #late one #needs review #theirs" (t-line 1)))
    (should (equal (t-sent (t-type "t C-a C-k t h e i r s RET"))
                   '((:removeTags ["a,b" "late one" "needs review"]))))
    (t-until "all but one to go" (string-search "Task number 1 #theirs" (t-line 1)))
    (t-type "RET")
    (t-until "the run" (string-search "Tags      theirs" (t-text)))))

(t-check t-10-note
    "note: lines stay lines, and nothing is sent that was not changed"
  (let ((root (t-root 1)))
    (t-annotate root "exec-0001" :note "first\n\n  third")
    (t-list root)
    (t-until "the note" (string-search "“first" (t-line 1)))
    (t-until "the daemon" (runlog-client-server runlog-client))
    (should-not (t-sent (t-type "N RET")))
    (should (equal (t-sent (t-type "N M-> ! RET")) '((:note "first\n\n  third!"))))))

(t-check t-10-note-meanwhile
    "note: what somebody else has made of it is not written over by what is typed meanwhile"
  (let ((root (t-root 1)))
    (t-list root)
    (t-until "the daemon" (runlog-client-server runlog-client))
    (pcase-dolist (`(,shown ,theirs) '(("" "theirs") ("ours" "")))
      (t-annotate root "exec-0001" :note shown)
      (t-until "the note" (equal (or (runlog-client-get (runlog-row) :note) "") shown))
      (let ((row (runlog-row)))
        (t-annotate root "exec-0001" :note theirs)
        (should-not (t-sent (should (equal (t-complaint (runlog-note row "mine"))
                                           "Somebody else has changed the note; it is not written: mine"))))
        (t-until "the note" (equal (or (runlog-client-get (runlog-row) :note) "") theirs))))
    (should (equal (t-sent (t-type "N m i n e RET")) '((:note "mine"))))
    ;; nobody knows what it is by now
    (t-until "the note" (equal (runlog-client-get (runlog-row) :note) "mine"))
    (t-annotate root "exec-0001" :note "theirs")
    (t-until "the note" (equal (runlog-client-get (runlog-row) :note) "theirs"))
    (let ((daemon (car (t-daemons root)))
          (row (runlog-row))
          (runlog-list--note-within 0.5))
      (signal-process daemon 'SIGSTOP)
      (unwind-protect
          (should-not
           (t-sent (should (equal (t-complaint (runlog-note row "mine again"))
                                  (concat "The daemon does not say what the note is by now; "
                                          "it is not written: mine again")))))
        (signal-process daemon 'SIGCONT)))))

(t-check t-10-note-lines
    "note: all its lines are in the run, and in the list that there are more"
  (let ((root (t-root 2)))
    (t-annotate root "exec-0001" :note "one line")
    (t-annotate root "exec-0002" :note "first\n  second\n\nfourth")
    (t-list root)
    (t-until "the notes" (string-search "“first …”" (t-line 1)))
    (t-has (t-line 2) "“one line”")
    (t-type "M-< RET")
    (t-until "the run"
      (string-search "\nNote      first\n            second\n          \n          fourth\nFile " (t-text)))))

(t-check t-10-meanwhile
    "tags and note: of the run that they were asked for, whatever comes or goes while they are typed"
  (let ((root (t-root 3))
        come)
    (t-list root)
    (t-until "the daemon" runlog-list--subscription)
    (define-key minibuffer-local-map [f5] (lambda ()
                                            (interactive)
                                            (with-current-buffer (window-buffer (minibuffer-selected-window))
                                              (funcall come))))
    (unwind-protect
        (progn
          (setq come (lambda ()
                       (t-save root "website" "exec-come" `(:startedAt ,(t-minute 99)))
                       (t-until "the new run" (string-search "exec-come" (t-line 1)))))
          (t-type "N <f5> m i n e RET")
          (t-until "the note" (string-search "“mine”" (t-text)))
          (t-has (t-line 2) "“mine”")
          (t-has (t-line) "“mine”")
          (t-type "M-< s c o m p l e t e d RET")
          (t-until "three runs" (= 3 (length (t-runs))))
          (t-until "the daemon" runlog-list--subscription)
          (t-type "n")
          (t-has (t-line) "Task number 2")
          (setq come (lambda ()
                       (t-save root "website" "exec-0002" `(:startedAt ,(t-minute 2) :status "failed"))
                       (t-until "it to leave" (= 2 (length (t-runs))))))
          (t-type "t <f5> h i s RET x")
          (t-until "the tag" (string-search "#his" (t-text)))
          (t-has (t-line 3) "Input of exec-0002 #his"))
      (define-key minibuffer-local-map [f5] nil))))

(t-check t-10-region
    "region: has no other rows than it had, whatever comes above and changes in it"
  (let* ((root (t-root 6))
         (come (lambda (id minute)
                 (t-save root "website" id `(:startedAt ,(t-minute minute)))
                 (t-until "it to come" (string-search (concat "Input of " id) (t-text)))
                 (should (use-region-p))))
         (rows (lambda ()
                 (buffer-substring-no-properties (region-beginning) (region-end))))
         before)
    (t-list root)
    (t-until "the daemon" runlog-list--subscription)
    (transient-mark-mode)
    (t-type "M-< C-SPC n n")
    (setq before (funcall rows))
    (funcall come "exec-come-1" 97)
    (should (equal (funcall rows) before))
    (t-type "C-x C-x")
    (funcall come "exec-come-2" 98)
    (should (equal (funcall rows) before))
    ;; one whose row is written anew right above the mark
    (deactivate-mark)
    (goto-char (point-min))
    (search-forward "Task number 5")
    (t-type "C-a C-SPC M->")
    (setq before (funcall rows))
    (funcall come "exec-0006" 6)
    (should (equal (funcall rows) before))
    (t-type "d")
    (t-until "five to go" (= 3 (length (t-runs))))
    (should (equal (t-runs) '("website/exec-come-2" "website/exec-come-1" "website/exec-0006")))))

(t-check t-10-line-end
    "list: a row is a run up to the end of its line"
  (let ((root (t-root 2)))
    (t-list root)
    (t-type "C-e d")
    (t-until "it to go" (equal (t-runs) '("website/exec-0001")))
    (t-type "C-e RET")
    (t-until "the run" (string-search "Output of exec-0001" (t-text)))))

(t-check t-10-deletions
    "deletions: how many went and what was refused is said, and no undo is offered for those of others"
  (let ((root (t-root 5))
        (asked 0)
        said)
    (t-list root)
    (cl-letf* ((request (symbol-function 'runlog-client-request))
               ((symbol-function 'runlog-client-request)
                (lambda (client method params success &optional failure)
                  (cl-incf asked)
                  (if (and (eq method 'executions/delete)
                           (equal (plist-get params :executionId) "exec-0004"))
                      (funcall failure '(:code 500 :message "No room in the trash."))
                    (funcall request client method params success failure))))
               ((symbol-function 'message)
                (lambda (format &rest args)
                  (push (and format (apply #'format format args)) said))))
      (transient-mark-mode)
      (t-type "M-< C-SPC n n n d")
      (t-until "what is said"
        (member "Deleted 2 of 3 runs; u has it back.  1 refused: No room in the trash." said))
      (t-type "u")
      (t-until "two to be back" (= 5 (length (t-runs))))
      (t-type "M-< RET")
      (t-until "the run" (string-search "Output of exec-0005" (t-text)))
      (delete-file (concat root "/website/executions/exec-0005.json"))
      (t-until "it to be gone" (string-search "it is not there any more" (t-mode-line)))
      (t-type "d")
      (t-until "what is said" (member "It is not there any more" said))
      (t-save root "website" "exec-0005" `(:startedAt ,(t-minute 5)))
      (t-until "it to be back" (not (string-search "any more" (t-mode-line))))
      (t-type "d")
      (t-until "the undo" (string-search "deleted; u has it back" (t-mode-line)))
      ;; more than the daemon lets one ask at once
      (setq asked 0)
      (runlog-delete runlog-client
                     (cl-loop for i from 1 to 1500
                              collect `(:projectId "website" :id ,(format "no-%d" i))))
      (should (< 0 asked 200))
      (t-until "what is said" (member "1500 not there any more" said)))
    ;; of what the daemon's end left open, none is called refused
    (cl-letf (((symbol-function 'runlog-client-request)
               (lambda (_client _method params success failure)
                 (if (equal (plist-get params :executionId) "a")
                     (funcall success '(:deleted t :entry "a"))
                   (funcall failure '(:code 503 :message "lost" :data (:outcome "unknown")))))))
      (runlog-delete runlog-client
                     (cl-loop for id in '("a" "b" "c")
                              collect `(:projectId "website" :id ,id))))
    (should (equal (current-message)
                   "Deleted 1 of 3 runs; u has it back.  2 unknown: the daemon ended"))))

(t-check t-10-undo
    "undo: what somebody else had back is no obstacle to what was deleted with it and before it"
  (let ((root (t-root 6)))
    (t-list root)
    (transient-mark-mode)
    (t-type "M-< C-SPC n n d")
    (t-until "two to go" (= 4 (length (t-runs))))
    (t-type "M-< d")
    (t-until "one to go" (= 3 (length (t-runs))))
    (t-until "the deletions" (zerop (runlog-client-under-way runlog-client)))
    (dolist (id '("exec-0004" "exec-0006"))
      (t-ask root "executions/restore" `(:projectId "website" :executionId ,id)))
    (t-until "two to be back" (= 5 (length (t-runs))))
    (t-type "u")
    (t-until "what is said" (equal (current-message) "It is not in the trash any more"))
    (t-type "u")
    (t-until "the other" (= 6 (length (t-runs))))
    (t-has (t-complaint (runlog-undo)) "Nothing was deleted here")
    (t-type "M-< d")
    (t-until "one to go" (= 5 (length (t-runs))))
    (t-type "M-< C-SPC n n n d")
    (t-until "three to go" (= 2 (length (t-runs))))
    (t-until "the deletions" (zerop (runlog-client-under-way runlog-client)))
    (t-save root "website" "exec-0004" `(:startedAt ,(t-minute 4)))
    (t-until "one again" (= 3 (length (t-runs))))
    (t-type "u")
    (t-until "what is said"
      (equal (current-message) "2 runs are back.  1 is there again; the old ones stay in the trash"))
    (t-type "u")
    (t-until "all" (= 6 (length (t-runs))))))

(t-check t-10-undo-many
    "undo: more than one request may have back"
  (let ((root (t-root 1010)))
    (t-list root)
    (runlog-delete runlog-client
                   (cl-loop for i from 1 to 1010
                            collect `(:projectId "website" :id ,(format "exec-%04d" i))))
    (t-until "the deletions" (zerop (runlog-client-under-way runlog-client)) 30)
    (t-type "u")
    (t-until "what is said" (equal (current-message) "1010 runs are back") 30)
    (should (= 1010 (plist-get (t-ask root "executions/count" '(:sync t)) :count)))))

(t-check t-11-compare
    "compare: two runs as a diff, with what the daemon says of both"
  (let ((root (t-root 1)))
    (t-save root "website" "exec-a"
            `(:startedAt ,(t-minute 50) :output "same\nold" :costUSD 0.01))
    (t-save root "website" "exec-b"
            `(:startedAt ,(t-minute 51) :output "same\nnew" :costUSD 0.035))
    (t-list root)
    (t-type "n = p =")
    (with-current-buffer (t-until "the diff" (get-buffer "*runlog diff*"))
      (should (derived-mode-p 'diff-mode))
      (t-has (t-text) "cost +$0.025")
      (t-has (t-text) "--- website/exec-a\n+++ website/exec-b\n@@")
      (t-has (t-text) "   same\n-  old\n+  new\n")
      (kill-buffer))
    ;; nothing can be loaded there, which is not offered
    (t-save root "website" "exec-large"
            `(:startedAt ,(t-minute 52) :output ,(apply #'concat (make-list 1000 "a line\n"))))
    (t-open (file-name-directory root))
    (t-until "the large one" (string-search "exec-large" (t-text)))
    (let ((runlog-piece 1000))
      (t-type "M-< n = p =")
      (t-until "the diff" (get-buffer "*runlog diff*")))
    (with-current-buffer "*runlog diff*"
      (t-has (t-text) "characters are shown")
      (should-not (string-search "loads more" (t-text))))))

(t-check t-12-daemon-killed
    "daemon killed during 100 saves: the list equals executions/list, and one daemon is left"
  (let ((root (t-root 20)))
    (t-list root)
    (cl-loop for i from 1 to 100 do
             (when (= (% i 25) 10)
               (dolist (pid (t-daemons root))
                 (signal-process pid 'KILL)))
             (t-save root "website" (if (zerop (% i 4))
                                        (format "exec-%04d" (1+ (% i 20)))
                                      (format "exec-live-%03d" i))
                     `(:startedAt ,(t-minute (+ 100 i))
                       :status ,(if (cl-evenp i) "failed" "completed")))
             (when (zerop (% i 10))
               (ignore-errors
                 (delete-file (format "%s/website/executions/exec-live-%03d.json" root (- i 3)))))
             (accept-process-output nil 0.005))
    (t-until-equal root)
    (t-save root "website" "exec-after" `(:startedAt ,(t-minute 900)))
    (t-until "the next run" (equal (car (t-runs)) "website/exec-after"))
    (t-until "one daemon" (= 1 (length (t-daemons root))))))

(t-check t-13-forwarder-killed
    "forwarder killed: another is started, and the list goes on"
  (let ((root (t-root 20)))
    (t-list root)
    (dotimes (round 3)
      (signal-process (t-forwarder) 'KILL)
      (t-save root "website" (format "exec-lost-%d" round)
              `(:startedAt ,(t-minute (+ 200 round))))
      (delete-file (format "%s/website/executions/exec-%04d.json" root (1+ round)))
      (t-until-equal root)
      (t-until "the process" (runlog-client-connection runlog-client)))
    ;; both at once
    (dolist (pid (t-daemons root))
      (signal-process pid 'KILL))
    (signal-process (t-forwarder) 'KILL)
    (t-save root "website" "exec-both" `(:startedAt ,(t-minute 300)))
    (t-until-equal root)
    (t-type "M-< d")
    (t-until "a deletion to work" (not (equal (car (t-runs)) "website/exec-both")))
    (t-until-equal root)
    (t-until "one daemon" (= 1 (length (t-daemons root))))))

(t-check t-13-folder-gone
    "folder gone: no other process is started elsewhere; the list says so, and goes on once it is there"
  (let* ((folder (t-folder "gone"))
         (root (expand-file-name "projects" folder)))
    (t-open folder)
    (t-until "the daemon" (runlog-client-server runlog-client))
    (delete-directory folder t)
    (signal-process (t-forwarder) 'KILL)
    (t-until "the words" (string-search (format "There is no folder %s." folder) (t-text)))
    (should-not (runlog-client-connection runlog-client))
    (t-save root "website" "exec-back")
    (t-type "g")
    (t-until-equal root)))

(t-check t-13-folder-of-it-gone
    "folder gone, but not the runs: another process is started all the same"
  (let* ((root (t-root 1))
         (folder (expand-file-name "../src" root)))
    (make-directory folder)
    (make-directory (expand-file-name "../.git" root))
    (t-open folder)
    (t-until-equal root)
    (delete-directory folder)
    (signal-process (t-forwarder) 'KILL)
    (t-save root "website" "exec-after" `(:startedAt ,(t-minute 99)))
    (t-until "the next run" (equal (car (t-runs)) "website/exec-after"))))

(t-check t-13-subscriptions
    "run: one that was closed is followed no more; a list that is not told of changes says so"
  (let ((root (t-root 2)))
    (t-list root)
    (let ((client runlog-client))
      (t-until "the subscription" runlog-list--subscription)
      (t-type "M-< RET")
      (t-until "the run" (and runlog-run--subscription runlog-run--record))
      (should (= 2 (length (runlog-client-subscriptions client))))
      (t-type "q")
      (should (derived-mode-p 'runlog-list-mode))
      (should (= 1 (length (runlog-client-subscriptions client))))
      ;; more than the daemon allows: the list comes before them
      (let ((others (cl-loop repeat 256
                             collect (runlog-client-subscribe client nil #'ignore))))
        (t-until "the refusal" (cl-some #'runlog-client-refused others) 20)
        (signal-process (t-forwarder) 'KILL)
        (t-until "the list's own" (not (runlog-client--subscription-id runlog-list--subscription)))
        (t-until "it again" (runlog-client--subscription-id runlog-list--subscription) 20)
        (should-not (string-search "not live" (t-mode-line)))
        ;; another takes its place while it asks, if not the first time
        (t-until "the words"
          (progn
            (when (and runlog-list--subscription
                       (runlog-client--subscription-id runlog-list--subscription))
              (runlog-list-filter
               (if (cl-evenp (length others)) "status = completed" "not status = failed"))
              (push (runlog-client-subscribe client nil #'ignore) others))
            (string-search "not live: " (t-mode-line)))
          30)
        (dolist (other others)
          (runlog-client-unsubscribe client other))
        (runlog-list-all)
        (t-until "the subscription" (and runlog-list--subscription
                                         (runlog-client--subscription-id runlog-list--subscription)))
        (should-not (string-search "not live" (t-mode-line)))))))

(t-check t-13-narrowed
    "list: one that is narrowed goes on, and so does what is shown of it"
  (let ((root (t-root 5)))
    (t-list root)
    (goto-char (point-min))
    (forward-line 2)
    (narrow-to-region (point) (line-beginning-position 2))
    (t-save root "website" "exec-come" `(:startedAt ,(t-minute 99)))
    (t-until "it to be written" (= 6 (length runlog-text--lines)))
    (should (equal (t-runs) '("website/exec-0003")))
    (widen)
    (t-save root "website" "exec-more" `(:startedAt ,(t-minute 100)))
    (t-until-equal root)))

(t-check t-14-missing
    "daemon missing: the list says what to do, and goes on once it is there"
  (let* ((root (t-root 3))
         (runlog-command (expand-file-name "runlog" (t-folder "bin"))))
    (t-open (file-name-directory root))
    (t-until "the message"
      (string-search (format "There is no program %s." runlog-command) (t-text)))
    (t-has (t-text) "M-x customize-option RET runlog-command")
    (t-write runlog-command "no program")
    (t-type "g")
    (t-until "another message"
      (string-search (format "%s is not executable." runlog-command) (t-text)))
    (delete-file runlog-command)
    (make-symbolic-link t-binary runlog-command)
    (t-type "g")
    (t-until-equal root)))

(t-check t-14-no-protocol
    "program: one that prints what is no protocol and ends is given up, and so is one that refuses to begin"
  (let ((root (t-root 1)))
    (setq runlog-command
          (t-program (format "[ $1 = root ] && exec %s \"$@\"\necho 'runlog: usage: foo'" t-binary)))
    (t-open (file-name-directory root))
    (t-until "what is wrong"
      (string-search "ended with status 0: runlog: usage: foo" (t-text)) 20)
    (t-clean)
    (setq runlog-command
          (t-program (format "[ $1 = root ] && exec %s \"$@\"\nread line
printf 'Content-Length: 71\\r\\n\\r\\n%%s' '{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":\"Not today.\"}}'
exec sleep 1000" t-binary)))
    (t-open (file-name-directory root))
    (t-until "what is wrong" (string-search "refuses to begin: Not today." (t-text)))
    (t-clean)
    (setq runlog-command
          (t-program (format "[ $1 = root ] && exec %s \"$@\"\nread line
printf 'Content-Length: 55\\r\\n\\r\\n%%s' '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":2}}'
exec sleep 1000" t-binary)))
    (t-open (file-name-directory root))
    (t-until "what is wrong"
      (string-search "speaks version 2 of the protocol; update this package" (t-text)))))

(t-check t-14-shape
    "program: what `root --json' prints is looked at before it is believed"
  (dolist (printed '("{}" "[]" "3" "{\"root\":5,\"candidates\":[{}]}" "usage: foo" ""))
    (setq runlog-command (t-program (format "echo '%s'" printed)))
    (t-has (t-complaint (t-open t-place))
           (concat "does not say which folder it serves: " printed))))

(t-check t-14-hang
    "program: one that hangs is waited for some seconds at most, holds up no start, and is ended"
  (let ((root (t-root 1))
        (hang (format "exec sleep 9%d" (emacs-pid)))
        (runlog--answer-within 1)
        (runlog-client--answer-within 1))
    (cl-flet ((left ()
                (cl-loop for pid in (list-system-processes)
                         thereis (string-search (substring hang 5)
                                                (or (alist-get 'args (process-attributes pid)) "")))))
      (setq runlog-command (t-program hang))
      (t-has (t-complaint (t-open (file-name-directory root))) "it does not answer")
      ;; one that was sent its end is still there for a moment
      (t-until "it to be gone" (not (left)))
      (let ((began (float-time))
            (default-directory (file-name-directory root)))
        (runlog-today-mode)
        (should (< (- (float-time) began) 0.5)))
      (t-until "it to be ended" (not (process-live-p runlog-today--asked)))
      (should-not runlog-today--client)
      (setq runlog-command (t-program (format "[ $1 = root ] && exec %s \"$@\"\n%s" t-binary hang)))
      (t-open (file-name-directory root))
      (t-until "what is wrong" (string-search "does not answer; is it the right program?" (t-text)))
      (t-until "it to be ended" (not (left))))))

(t-check t-14-folder
    "folder: one that is not there is said not to be"
  (should (equal (t-complaint (runlog "/nonexistent/x")) "There is no folder /nonexistent/x")))

(t-check t-15-no-root
    "no root: the places tried; a run that is saved appears; another folder is chosen"
  (let ((folder (t-folder "empty"))
        (root (t-root 2)))
    (t-open folder)
    (t-until "the message" (string-search "There is no folder of runs here." (t-text)))
    (t-has (t-text) (concat folder " and 3 levels below"))
    (t-save (concat folder "/projects") "p" "exec-first")
    (t-until "the first run" (equal (t-runs) '("p/exec-first")))
    (t-type "M-< d")
    (t-until "that there is none" (string-search "No runs yet" (t-text)))
    (execute-kbd-macro (vconcat (kbd "R C-a C-k") (file-name-directory root) (kbd "RET")))
    (t-until-equal root)))

(t-check t-16-two-roots
    "two roots: it asks which, and both are there"
  (let ((folder (t-folder "two")))
    (t-save (concat folder "/a/projects") "p" "exec-a")
    (t-save (concat folder "/b/projects") "p" "exec-b")
    (switch-to-buffer (generate-new-buffer "*runlog elsewhere*"))
    (setq default-directory (file-name-as-directory folder))
    (execute-kbd-macro (vconcat (kbd "M-x") "runlog" (kbd "RET")
                                folder "/b/projects" (kbd "RET")))
    (t-until "the second root" (equal (t-runs) '("p/exec-b")))
    (let ((second (current-buffer)))
      (runlog (concat folder "/a/projects"))
      (t-until "the first root" (equal (t-runs) '("p/exec-a")))
      (should-not (eq second (current-buffer)))
      (t-save (concat folder "/b/projects") "p" "exec-b2" `(:startedAt ,(t-minute 1)))
      (with-current-buffer second
        (t-until "the second root, live" (equal (t-runs) '("p/exec-b2" "p/exec-b")))))))

(t-check t-17-hostile
    "hostile record: shown as text, in the list and as a run"
  (let ((root (t-root 1))
        (long (make-string 100000 ?x)))
    (t-save root "website" "exec-hostile" `(:startedAt ,(t-minute 99) :output ,long)
            (concat "\"name\":\"\\u001b[31mred\\u0007 \\u202eevil\\u0000 <script>alert(1)</script> \\ud800 日本語 العربية\","
                    "\"input\":\"<b>bold</b>\\r\\n\\u001b]0;title\\u0007%s%n\\ttab\\n\\udfff end\","
                    "\"error\":\"\\u0085bad\\nsecond\",\"a\\u0000key\\ud83d\":1e400,\"big\":123456789012345678901234567890,"
                    "\"steps\":[null,7,\"text\",{\"id\":5,\"nodeId\":{\"a\":1},\"status\":[],\"output\":\"\\ud83d\\ude00\\ud83d\"},"
                    "{\"nodeId\":\"deep\",\"output\":[[[[[[[]]]]]]]}]"))
    (t-list root)
    (t-until "it" (= 2 (length (t-runs))))
    (should (= 2 (count-lines (point-min) (point-max))))
    (t-has (t-line 1) "␛[31mred␇ <202e>evil␀ <script>alert(1)</script>")
    (t-has (t-line 1) "日本語 العربية")
    (t-type "M-< RET")
    (t-until "the run" (string-search "Other members" (t-text)))
    (let ((text (t-text)))
      (t-has text "  <b>bold</b>\n  ␛]0;title␇%s%n\ttab\n  � end")
      (t-has text "* Error\n  <0085>bad\n  second")
      (t-has text ": 1e400")
      (t-has text "123456789012345678901234567890")
      (t-has text "😀�")
      (t-has (filter-buffer-substring (point-min) (point-max)) long)
      (should-not (string-match-p "[\0-\10\13-\37\177]" text)))))

(t-check t-17-acting
    "text: what acts on a terminal is shown for what it is, as the program itself shows it"
  (dolist (char (t-acting))
    (should (equal (runlog-text-visible (string ?a char ?b)) (format "a<%04x>b" char)))))

(t-check t-17-odd
    "odd record: negative amounts, steps that are no list, and a label that begins as a heading does"
  (let ((root (t-root 1)))
    (t-save root "website" "exec-odd"
            `(:startedAt ,(t-minute 99) :duration -5000 :costUSD -1.5 :name "* starts" :status "** odd")
            "\"steps\":{\"a\":1},\"tokenUsage\":{\"input\":-1234,\"output\":5}")
    (t-list root)
    (t-until "it" (string-search "    -5.0 s       -$1.50 " (t-line 1)))
    (t-type "M-< RET")
    (t-until "the run" (string-search "* Steps\n  {\n    \"a\": 1\n  }" (t-text)))
    (t-has (t-text) "Duration  -5.0 s\nCost      -$1.50\n")
    (goto-char (point-min))
    (t-has (t-line) "* starts")
    (should-not (outline-on-heading-p))
    (forward-line)
    (t-has (t-line) "** odd")
    (should-not (outline-on-heading-p))
    (t-type "M-< RET")
    (should-not (outline-invisible-p (line-end-position)))
    ;; what the head cannot tell is told below
    (t-save root "website" "exec-kinds"
            `(:startedAt ,(t-minute 101) :duration "soon" :costUSD "1 2" :completedAt "garbage")
            (concat "\"retryCount\":\"a\",\"tokenUsage\":{\"input\":\"x\"},\"name\":null,\"model\":\"\","
                    "\"steps\":[{\"id\":5,\"costUSD\":\"free\",\"duration\":7,\"error\":null}]"))
    (t-type "q")
    (t-until "it" (string-search "Input of exec-kinds" (t-line 1)))
    (t-type "M-< RET")
    (t-until "the run" (string-search "* Other members" (t-text)))
    (dolist (member '("\"duration\": \"soon\"" "\"costUSD\": \"1 2\"" "\"completedAt\": \"garbage\""
                      "\"retryCount\": \"a\"" "\"input\": \"x\"" "\"id\": 5" "\"costUSD\": \"free\""))
      (t-has (t-text) member))
    (dolist (member '("\"name\"" "\"model\"" "\"projectId\"" "\"startedAt\"" "\"status\""
                      "\"duration\": 7" "\"error\""))
      (should-not (string-search member (t-text))))))

(t-check t-17-spelling
    "numbers: shown as the record spells them, read as numbers"
  (let ((root (t-root 1)))
    (t-save root "website" "exec-spelt" `(:startedAt ,(t-minute 99) :costUSD 0.000123456)
            (concat "\"output\":{\"one\":1.0,\"ten\":0.10,\"huge\":1e400,\"zero\":-0,\"text\":\"1.0\"},"
                    "\"steps\":[{\"id\":\"s\",\"nodeId\":\"n\",\"duration\":1.5e3,\"costUSD\":0.10,\"output\":[2.50]}]"))
    (t-list root)
    (t-until "it" (= 2 (length (t-runs))))
    (t-has (t-line 1) "$0.000123456 ")
    (t-type "M-< RET")
    (t-until "the run" (string-search "* Steps" (t-text)))
    (pcase-dolist (`(,amount . ,spelt)
                   `((0 . "$0.00") (0.1 . "$0.10") (,(+ 0.1 0.2) . "$0.30") (1e-10 . "$0.00")
                     (,(/ 1.0 3) . "$0.333333333") (12345678.1 . "$12345678.10") (-2.5 . "-$2.50")
                     (100000000.12345679 . "$100000000.12345679") (30 . "$30.00")))
      (should (equal (runlog-text-cost amount) spelt)))
    (should (equal (mapcar #'runlog-text-duration '(1e300 -1e300 2e16 3723000))
                   '("ages" "-ages" "5555555555 h 33 m" "1 h 02 m")))
    (dolist (part '("\"one\": 1.0," "\"ten\": 0.10," "\"huge\": 1e400," "\"zero\": -0," "\"text\": \"1.0\""
                    "1.5 s  $0.10" "2.50"))
      (t-has (t-text) part))))

(t-check t-18-problems
    "corrupt file: counted, and listed as a problem with its file"
  (let ((root (t-root 2)))
    (t-write (concat root "/website/executions/broken:3: file.json") "{ not json")
    (t-list root)
    (t-until "the count" (string-search "1 problem (!)" (t-mode-line)))
    (t-type "!")
    (with-current-buffer (t-until "the problems" (get-buffer "*runlog problems*"))
      (t-has (t-text) "website/executions/broken:3: file.json:1: corrupt: not valid JSON")
      (let ((next-error-last-buffer (current-buffer)))
        (next-error 1 t)))
    (should (equal (buffer-file-name (window-buffer (selected-window)))
                   (concat root "/website/executions/broken:3: file.json")))
    (kill-buffer (get-file-buffer (concat root "/website/executions/broken:3: file.json")))))

(t-check t-19-today
    "mode line: today and what is running, from the daemon"
  (let ((root (t-root 1))
        (now (format-time-string "%Y-%m-%dT%H:%M:%S.000Z" nil t)))
    (t-save root "website" "exec-today" `(:startedAt ,now :costUSD 0.1))
    (t-save root "website" "exec-today-2" `(:startedAt ,now :costUSD 0.2 :status "running"))
    (let ((default-directory (file-name-directory root)))
      (runlog-today-mode))
    (t-until "today" (equal runlog-today-string " $0.30 today · 1 running"))
    (t-has (format-mode-line global-mode-string) "$0.30 today")
    (t-save root "website" "exec-today-3" `(:startedAt ,now :costUSD 0.07))
    (t-until "more" (equal runlog-today-string " $0.37 today · 1 running"))
    (runlog-today-mode -1)
    (should-not runlog-client--all)
    (let ((default-directory (file-name-as-directory (t-folder "nothing"))))
      (runlog-today-mode))
    (should-not runlog-today--client)))

(t-check t-19-today-gone
    "mode line: says nothing of a program that has gone, and goes on once it is back"
  (let ((root (t-root 1))
        (now (format-time-string "%Y-%m-%dT%H:%M:%S.000Z" nil t))
        (every runlog-today--retry-every))
    (t-save root "website" "exec-one" `(:startedAt ,now :costUSD 0.5))
    (unwind-protect
        (progn
          (setq runlog-today--retry-every 0.5)
          (let ((default-directory (file-name-directory root)))
            (runlog-today-mode))
          (t-until "today" (equal runlog-today-string " $0.50 today"))
          (setq runlog-command "/nonexistent/runlog")
          (signal-process
           (jsonrpc--process (runlog-client-connection runlog-today--client)) 'SIGKILL)
          (t-until "it to go" (equal runlog-today-string ""))
          (t-save root "website" "exec-two" `(:startedAt ,now :costUSD 0.25))
          (setq runlog-command t-binary)
          (t-until "it to be back" (equal runlog-today-string " $0.75 today")))
      (setq runlog-today--retry-every every))))

(t-check t-19-today-stale
    "mode line: a run that turns stale is no longer running"
  (let* ((root (t-root 1))
         (aside (t-save (t-folder "aside") "website" "exec-silent"
                        `(:startedAt ,(t-minute 1) :status "running")))
         (default-directory (file-name-directory root))
         (every runlog-today--running-every))
    (set-file-times aside (time-subtract nil 3594))
    (rename-file aside (concat root "/website/executions/exec-silent.json"))
    (unwind-protect
        (progn
          (setq runlog-today--running-every 0.5)
          (runlog-today-mode)
          (t-until "it" (equal runlog-today-string " $0.00 today · 1 running"))
          (t-until "it to be stale" (equal runlog-today-string " $0.00 today")))
      (setq runlog-today--running-every every))))

(t-check t-19-today-ends
    "mode line: the day turns after 23 hours, or 25, where clocks are changed"
  ;; 2026-03-29 and 2026-10-25 in Berlin, from their first second
  (should (= (* 23 3600) (runlog-today--left-of-day 1774738800)))
  (should (= (* 25 3600) (runlog-today--left-of-day 1792879200))))

(t-check t-19-today-later
    "mode line: is there as soon as the first run has come, in the list too"
  (let ((folder (t-folder "later"))
        (now (format-time-string "%Y-%m-%dT%H:%M:%S.000Z" nil t)))
    (make-directory (expand-file-name ".git" folder))
    (let ((default-directory (file-name-as-directory folder)))
      (runlog-today-mode))
    (t-open folder)
    (t-until "the list" (string-search "There is no folder of runs here" (t-text)))
    (should-not runlog-today--client)
    (t-save (expand-file-name "projects" folder) "website" "exec-first"
            `(:startedAt ,now :costUSD 0.1))
    (t-until "today" (equal runlog-today-string " $0.10 today"))
    (t-has (t-mode-line) "$0.10 today")))

(t-check t-19-narrow
    "list: in a narrow window the name of a run is in sight"
  (let ((root (t-root 2)))
    (t-list root)
    (should-not (string-search "website" (t-line)))
    (t-has (t-line) "1.5 s")
    (split-window-right 50)
    (redisplay)
    (t-until "the name" (string-search "Task number 2" (truncate-string-to-width (t-line) 49)))
    (t-has (t-line) "$0.01")
    (t-has (t-line) "completed")
    (delete-other-windows)
    (redisplay)
    (t-until "the duration" (string-search "1.5 s" (t-line)))
    (t-save root "docs" "exec-other" `(:startedAt ,(t-minute 99)))
    (t-until "the projects" (string-search "website" (t-line)))
    (t-has (t-text) "docs")
    (split-window-right 45)
    (redisplay)
    (t-until "the name" (string-search "Task number 2" (truncate-string-to-width (t-line) 44)))))

(t-check t-19-help
    "help: the keys first, in a window that q closes"
  (let ((root (t-root 2)))
    (t-list root)
    (let ((list (current-buffer)))
      (t-type "?")
      (should (eq (current-buffer) (window-buffer)))
      (dolist (part '(" RET       open the run, or load more" " /         filter" " ?         this help"))
        (t-has (t-text) part))
      (should (pos-visible-in-window-p (1- (point-max))))
      (t-type "q")
      (should (eq (current-buffer) list))
      (should-not (cdr (window-list))))))

(t-check t-19-zone
    "time zone: what TZ means, by a name that the daemon knows"
  (let ((root (t-root 1))
        (zone-of (lambda (tz)
                   (let ((process-environment (cons (concat "TZ=" tz) process-environment)))
                     (runlog-zone)))))
    (dolist (pair '(("Asia/Tokyo" . "Asia/Tokyo") (":Asia/Tokyo" . "Asia/Tokyo")
                    ("posix/Asia/Tokyo" . "Asia/Tokyo") ("CET" . "CET") ("EST5EDT" . "EST5EDT")
                    ("GMT+0" . "GMT+0") ("/usr/share/zoneinfo/Europe/Berlin" . "Europe/Berlin")
                    ("CET-1CEST" . "UTC") ("<+03>-3" . "Etc/GMT-3") ("/nowhere" . "UTC") ("nowhere" . "UTC")
                    ("JST-9" . "Etc/GMT-9") ("EST5" . "Etc/GMT+5") ("GMT0" . "GMT0") ("UTC" . "UTC")
                    ("XYZ-99" . "UTC")))
      (should (equal (cons (car pair) (funcall zone-of (car pair))) pair))
      (should (= 1 (length (t-listed root :timezone (cdr pair) :where "startedAt < today")))))
    ;; one that was copied goes by a name of the same
    (let ((copy (expand-file-name "localtime" root))
          (zones "/usr/share/zoneinfo"))
      (copy-file (expand-file-name "Europe/Berlin" zones) copy)
      (let ((held (funcall zone-of copy)))
        (should (equal (runlog-list--contents copy)
                       (runlog-list--contents (expand-file-name held zones))))
        (should (= 1 (length (t-listed root :timezone held :where "startedAt < today"))))))
    (should (equal (funcall zone-of ":/etc/localtime") (funcall zone-of "")))))

(t-check t-20-stale
    "stale: a run that is silent for too long is marked"
  (let* ((root (t-root 1))
         (file (t-save root "website" "exec-silent"
                       `(:startedAt ,(t-minute 99) :status "running"))))
    (set-file-times file (time-subtract nil 7200))
    (t-list root)
    (t-until "it" (string-search "stale" (t-line 1)))
    ;; one that turns so while it is looked at, in the list and as a run
    (let ((aside (t-save (t-folder "aside") "website" "exec-silent"
                         `(:startedAt ,(t-minute 99) :status "running"))))
      (set-file-times aside (time-subtract nil 3594))
      (rename-file aside file t))
    (t-until "it to go on" (string-search "running" (t-line 1)))
    (let ((list (current-buffer)))
      (t-type "RET")
      (t-until "the run" (string-search "\nrunning\n" (t-text)))
      (t-until "it to be stale" (string-search "\nstale\n" (t-text)))
      (with-current-buffer list
        (t-until "its row" (string-search "stale" (t-line 1)))))))

(t-check t-21-leaving
    "leaving: no process of ours is left but the shared daemon"
  (let ((root (t-root 1)) process)
    (t-list root)
    (setq process (jsonrpc--process (runlog-client-connection runlog-client)))
    (t-type "RET")
    (t-until "the run" (string-search "Output of" (t-text)))
    (kill-buffer)
    (should (process-live-p process))
    (kill-buffer (cl-find-if (lambda (buffer)
                               (eq 'runlog-list-mode (buffer-local-value 'major-mode buffer)))
                             (buffer-list)))
    (t-until "it to end" (not (process-live-p process)))
    (should-not runlog-client--all)
    (should (= 1 (length (t-daemons root))))
    ;; its sentinel runs after it has ended
    (t-until "its buffers to go"
      (not (cl-find-if (lambda (buffer)
                         (string-match-p "runlog.*\\(stderr\\|output\\|events\\)" (or (buffer-name buffer) "")))
                       (buffer-list))))))

(t-check t-21-leaving-at-once
    "leaving: what is done just before is done, of many runs too"
  (let ((root (t-root 150)))
    (with-temp-buffer
      (should (zerop (call-process
                      (expand-file-name invocation-name invocation-directory) nil t nil
                      "-Q" "--batch"
                      "-L" (file-name-directory (locate-library "runlog"))
                      "-l" "runlog"
                      "--eval"
                      (format "%S"
                              `(let ((default-directory ,(file-name-directory root))
                                     (runlog-command ,t-binary)
                                     (runlog-page 1000))
                                 (runlog)
                                 (while (not (and runlog-list--rows
                                                  (eq (runlog-client-state runlog-client) 'ready)))
                                   (accept-process-output nil 0.01))
                                 (runlog-annotate (car (last runlog-list--rows)) :note "last")
                                 (runlog-delete runlog-client (butlast runlog-list--rows))
                                 (kill-emacs)))))))
    (should (equal (mapcar (lambda (row) (plist-get row :note))
                           (plist-get (t-ask root "executions/list" '(:sync t)) :executions))
                   '("last")))))

(t-check t-21-leaving-undo
    "leaving: an undo of more than one request is done to its end"
  (let ((root (t-root 30)))
    (with-temp-buffer
      (should (zerop (call-process
                      (expand-file-name invocation-name invocation-directory) nil t nil
                      "-Q" "--batch"
                      "-L" (file-name-directory (locate-library "runlog"))
                      "-l" "runlog"
                      "--eval"
                      (format "%S"
                              `(let ((default-directory ,(file-name-directory root))
                                     (runlog-command ,t-binary)
                                     (runlog-list--restored 10))
                                 (runlog)
                                 (while (not runlog-list--rows)
                                   (accept-process-output nil 0.01))
                                 (runlog-delete runlog-client (append runlog-list--rows nil))
                                 (while (> (runlog-client-under-way runlog-client) 0)
                                   (accept-process-output nil 0.01))
                                 (runlog-undo)
                                 (kill-emacs)))))))
    (should (= 30 (length (t-listed root))))))

(t-check t-22-commands
    "every key of the modes has a command, and customize knows the options"
  (dolist (map (list runlog-list-mode-map runlog-run-mode-map))
    (map-keymap-internal (lambda (_ command)
                           (should (or (keymapp command) (commandp command))))
                         map))
  (dolist (option '(runlog-command runlog-page runlog-piece))
    (should (custom-variable-p option))
    (should (assq option (get 'runlog 'custom-group)))))

;;; checks.el ends here
