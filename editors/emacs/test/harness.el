;;; harness.el --- A root, a daemon, and an Emacs that is typed into  -*- lexical-binding: t; -*-

;;; Commentary:

;; Files as the engine writes them, questions to the daemon past the editor, and
;; waiting for what is to come.

;;; Code:

(require 'ert)
(require 'cl-lib)
(require 'runlog)

(defconst t-place (getenv "RUNLOG_PLACE"))
(defconst t-binary (getenv "RUNLOG_BIN"))

(defmacro t-until (what form &optional seconds)
  "Wait until FORM, WHAT is waited for, gives something, for SECONDS at most."
  (declare (indent 1))
  `(let ((end (+ (float-time) ,(or seconds 10))) found)
     (while (not (or (setq found ,form) (> (float-time) end)))
       (accept-process-output nil 0.01)
       (redisplay))
     (or found
         (ert-fail (format "waited in vain for %s in %s:\n%s" ,what (current-buffer)
                           (buffer-string))))))

(defun t-has (text part)
  "Fail unless TEXT has PART."
  (unless (string-search part text)
    (ert-fail (format "%S is not in:\n%s" part text))))

(defun t-folder (name)
  "Make a folder with NAME in its own."
  (make-temp-file (expand-file-name (concat name "-") t-place) t))

(defun t-write (path text)
  "Write TEXT to PATH."
  (make-directory (file-name-directory path) t)
  (let ((coding-system-for-write 'utf-8-unix))
    (write-region text nil path nil 'quiet)))

(defun t-acting ()
  "Return the characters that the program makes visible on a terminal."
  (with-temp-buffer
    (insert-file-contents (expand-file-name "../../src/cli/terminal.rs"
                                            (getenv "RUNLOG_PACKAGE")))
    (let (from found)
      (search-forward "fn acts(")
      (narrow-to-region (point) (progn (search-forward "\n}") (point)))
      (goto-char (point-min))
      (while (re-search-forward "'\\\\u{\\([[:xdigit:]]+\\)}'\\(\\.\\.=\\)?" nil t)
        (let ((char (string-to-number (match-string 1) 16)))
          (cl-loop for each from (or from char) to char do (push each found))
          (setq from (and (match-string 2) (1+ char)))))
      (or (length> found 100) (ert-fail "the list is spelt another way"))
      found)))

(defun t-minute (n)
  "Return RFC 3339 of the minute N after an arbitrary one."
  (format-time-string "%Y-%m-%dT%H:%M:00.000Z" (+ 1769904000 (* 60 n)) t))

(cl-defun t-save (root project id &optional members more)
  "Save the run ID of PROJECT below ROOT as the engine does.
MEMBERS is a plist, MORE the JSON of further ones."
  (let* ((path (format "%s/%s/executions/%s.json" root project id))
         (record (list :id id :projectId project :status "completed"
                       :input (concat "Input of " id) :output (concat "Output of " id)
                       :startedAt "2026-01-01T00:00:00.000Z" :duration 1500 :costUSD 0.01)))
    (cl-loop for (key value) on members by #'cddr
             do (setq record (plist-put record key value)))
    (let ((text (decode-coding-string (json-serialize record) 'utf-8)))
      (t-write (concat path ".tmp")
               (if more (concat (substring text 0 -1) "," more "}") text)))
    (rename-file (concat path ".tmp") path t)
    path))

(defun t-root (count)
  "Make a root of COUNT runs, the last one the newest."
  (let ((root (expand-file-name "projects" (t-folder "work"))))
    (cl-loop for i from 1 to count
             do (t-save root "website" (format "exec-%04d" i)
                        `(:startedAt ,(t-minute i) :input ,(format "Task number %d" i)
                          :status ,(if (zerop (% i 3)) "failed" "completed")
                          ,@(and (zerop (% i 3)) '(:error "It broke.")))))
    root))

(defun t-ask (root method params)
  "Ask the daemon of ROOT for METHOD with PARAMS, past the editor."
  (let ((default-directory t-place))
    (with-temp-buffer
      (insert (json-serialize `(:jsonrpc "2.0" :id 1 :method ,method :params ,params)) "\n")
      (let ((coding-system-for-write 'utf-8-unix) (coding-system-for-read 'utf-8-unix))
        (call-process-region nil nil t-binary t '(t nil) nil
                             "serve" "--shared" "--projects" root))
      (goto-char (point-min))
      (plist-get (json-parse-buffer :object-type 'plist :null-object :null) :result))))

(defun t-listed (root &rest params)
  "Return the keys that `executions/list' has for ROOT and PARAMS."
  (mapcar (lambda (row) (concat (plist-get row :projectId) "/" (plist-get row :id)))
          (plist-get (t-ask root "executions/list" `(:limit 1000 :sync t ,@params))
                     :executions)))

(defun t-runs ()
  "Return the keys of the runs that this list shows, as its buffer has them."
  (let (keys)
    (save-excursion
      (goto-char (point-min))
      (while (not (eobp))
        (when-let ((key (tabulated-list-get-id)))
          (cl-pushnew key keys :test #'equal))
        (forward-line)))
    (nreverse keys)))

(defmacro t-until-equal (root &rest params)
  "Wait until this list is what the daemon has for ROOT and PARAMS."
  `(let ((wanted (t-listed ,root ,@params)))
     (condition-case nil
         (t-until "the list" (equal (t-runs) wanted) 15)
       (ert-test-failed
        (ert-fail (list 'shown (t-runs) 'listed wanted (buffer-string)))))))

(defun t-program (script)
  "Return the path of a program that is SCRIPT of a shell."
  (let ((path (expand-file-name "runlog" (t-folder "bin"))))
    (t-write path (concat "#!/bin/sh\n" script "\n"))
    (set-file-modes path #o755)
    path))

(defmacro t-complaint (form)
  "Return what the user is told when FORM is evaluated, which is to fail."
  `(condition-case complaint
       (progn ,form (ert-fail "nothing was complained of"))
     (user-error (cadr complaint))))

(defmacro t-sent (&rest body)
  "Return the changes that are sent by `runlog-annotate' while BODY is evaluated."
  `(let (sent)
     (cl-letf* ((request (symbol-function 'runlog-client-request))
                ((symbol-function 'runlog-client-request)
                 (lambda (client method params &rest more)
                   (when (eq method 'executions/annotate)
                     (push (nthcdr 4 params) sent))
                   (apply request client method params more))))
       ,@body
       (nreverse sent))))

(defun t-processes (words)
  "Return the processes of ours whose command line has WORDS."
  (cl-loop for pid in (list-system-processes)
           for args = (or (alist-get 'args (process-attributes pid)) "")
           when (and (string-search words args)
                     (string-search t-place args)
                     (string-match-p "\\`[^ ]*runlog serve" args)
                     (not (member (alist-get 'state (process-attributes pid)) '("Z"))))
           collect pid))

(defun t-daemons (root)
  "Return the shared daemons of ROOT."
  (t-processes (concat "--socket --detached --projects " root)))

(defun t-forwarder ()
  "Return the process id of this buffer's forwarder."
  (process-id (jsonrpc--process (runlog-client-connection runlog-client))))

(defun t-type (keys)
  "Type KEYS, as `kbd' has them, as a person would."
  (execute-kbd-macro (kbd keys)))

(defun t-text ()
  "Return the text of this buffer."
  (buffer-substring-no-properties (point-min) (point-max)))

(defun t-line (&optional number)
  "Return the text of line NUMBER, or of that at point."
  (save-excursion
    (when number
      (goto-char (point-min))
      (forward-line (1- number)))
    (buffer-substring-no-properties (line-beginning-position) (line-end-position))))

(defun t-mode-line ()
  "Return the mode line as it is shown."
  (format-mode-line mode-line-format))

(defun t-view ()
  "Return the texts of the line at point and of the window's first one."
  (redisplay)
  (list (t-line)
        (save-excursion (goto-char (window-start)) (t-line))))

(defun t-open (folder)
  "Open the list of FOLDER in the only window."
  (delete-other-windows)
  (let ((default-directory (file-name-as-directory folder)))
    (runlog))
  (redisplay))

(defun t-list (root)
  "Open the list of ROOT and wait for it."
  (t-open (file-name-directory root))
  (t-until "the list" (t-runs)))

(defun t-clean ()
  "Close everything."
  (runlog-today-mode -1)
  (dolist (buffer (buffer-list))
    (when (or (buffer-local-value 'runlog-client buffer)
              (string-match-p "\\`\\*runlog" (buffer-name buffer)))
      (kill-buffer buffer)))
  (delete-other-windows)
  (switch-to-buffer "*scratch*"))

(defmacro t-check (name docstring &rest body)
  "Define the test NAME with DOCSTRING and BODY."
  (declare (indent 2))
  `(ert-deftest ,name ()
     ,docstring
     (let ((runlog-command t-binary))
       (unwind-protect
           (progn ,@body)
         (t-clean)))))

(defun runlog-checks-run (words)
  "Run the checks whose names or docstrings have one of WORDS; all without any."
  (let ((file (expand-file-name "results" t-place))
        (began (float-time))
        (failed 0)
        (words (split-string words " " t)))
    (setq confirm-kill-processes nil
          inhibit-startup-screen t
          ring-bell-function #'ignore)
    (cl-flet ((say (format &rest args)
                (let ((coding-system-for-write 'utf-8-unix))
                  (write-region (apply #'format format args) nil file t 'quiet))))
      ;; no handler around this: ert hears of a failure by way of the debugger
      (dolist (test (sort (ert-select-tests t t)
                          (lambda (a b) (string< (ert-test-name a) (ert-test-name b)))))
        (when (or (not words)
                  (cl-some (lambda (word)
                             (string-search word (concat (symbol-name (ert-test-name test)) " "
                                                         (ert-test-documentation test))))
                           words))
          (let* ((start (float-time))
                 (result (ert-run-test test))
                 (passed (ert-test-passed-p result)))
            (say "%s %s (%.1f s)\n" (if passed "ok    " "FAILED")
                 (ert-test-documentation test) (- (float-time) start))
            (unless passed
              (cl-incf failed)
              (say "       %s\n"
                   (replace-regexp-in-string
                    "\n" "\n       "
                    (format "%s"
                            (if (ert-test-result-with-condition-p result)
                                (ert-test-result-with-condition-condition result)
                              result))
                    t t))))))
      (say "%s in %.1f s\n" (if (zerop failed) "all well" (format "%d failed" failed))
           (- (float-time) began))
      (say "status %d\n" (if (zerop failed) 0 1)))))

(provide 'harness)
;;; harness.el ends here
