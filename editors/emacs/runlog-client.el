;;; runlog-client.el --- Connections to the runlog daemon  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; One connection for each root: starts `runlog serve --shared', asks it, hears
;; what it tells, and starts another when it has died.  Then reads are asked
;; again, subscriptions go on after their last clock, and changes that were
;; under way are refused as of unknown outcome.
;;
;; Of jsonrpc.el this uses what is public.  Its filter drops an answer that the
;; JSON parser does not take (a lone surrogate, 1e400), and then nobody is ever
;; told; ours reads such answers nevertheless.  A JSON null is `:null' here, so
;; that it is told from an empty object, which is nil.  A number of a record
;; that Emacs would write otherwise (1.0e3, 1e400) is a symbol, named as the
;; record spells it.

;;; Code:

(require 'cl-lib)
(require 'jsonrpc)
(require 'subr-x)

(defgroup runlog nil
  "The run history of AI-agent workflows."
  :group 'tools
  :prefix "runlog-")

(defcustom runlog-command "runlog"
  "The program: a name on variable `exec-path', or a path."
  :type 'string
  :risky t)

(defconst runlog-client--first-delay 0.05
  "Seconds before another process is started.")

(defconst runlog-client--longest-delay 5.0
  "Seconds at most before another process is started.")

(defconst runlog-client--silent-max 5
  "So many processes may end in a row without a word before it is given up.")

(defconst runlog-client--protocol 1
  "The version of the protocol that is spoken here.")

(defconst runlog-client--answer-within 15
  "Seconds that a process has to answer `initialize'.")

(defconst runlog-client--end-within 2
  "Seconds that a process has to end after the end of its input.
One that answers what it was asked takes less.")

(defconst runlog-client--delete-within 10
  "Seconds that what is being deleted or had back has before that, when Emacs ends.")

(defconst runlog-client--mutations
  '(executions/save
    executions/start executions/update executions/annotate
    executions/delete executions/deleteAll executions/deleteMatching
    executions/prune executions/restore trash/empty)
  "Methods that, asked again, could be done twice.")

(cl-defstruct (runlog-client (:constructor runlog-client--make))
  "A connection to the daemon of a root, whatever dies in between."
  root                          ; the folder of projects
  folder                        ; where it was looked for
  given                         ; whether the root is to be named
  tried                         ; where one was looked for, if there is none
  connection
  (state 'idle)                 ; idle starting ready waiting missing failed
  trouble                       ; why it is missing or failed
  server                        ; what `initialize' answered
  (users 0)
  subscriptions
  queue                         ; requests that wait for a process, the last one first
  watchers                      ; functions that hear of every new state
  deleted                       ; (ENTRIES . KEYS) of what can be undone, the last one first
  (under-way 0)                 ; how many deletions, and undos of them, are not done yet
  undo-wanted                   ; whether there is to be an undo once they are
  (delay runlog-client--first-delay)
  (silent 0)
  heard
  timer)

(cl-defstruct (runlog-client--request (:constructor runlog-client--request-make))
  method params success failure settled)

(cl-defstruct (runlog-client--subscription (:constructor runlog-client--subscription-make))
  params told id
  refused)                      ; why the daemon does not tell of them

(defclass runlog-client--connection (jsonrpc-process-connection) ()
  "A process of ours.")

(defvar runlog-client--all nil
  "Every client in use.")

(defun runlog-client-of (root &rest more)
  "Return the client of ROOT; MORE are slots of a new one."
  (or (cl-find root runlog-client--all :key #'runlog-client-root :test #'equal)
      (let ((client (apply #'runlog-client--make :root root more)))
        (push client runlog-client--all)
        client)))

(defun runlog-client-get (object &rest keys)
  "Return what is at KEYS in OBJECT, nested plists; nil for null.
Numbers are numbers, however they are spelt; one too large for that is nil."
  (dolist (key keys)
    (setq object (and (consp object) (plist-get object key))))
  (cond
   ((memq object '(nil :null)) nil)
   ((or (not (symbolp object)) (intern-soft object)) object)
   (t (let ((number (string-to-number (symbol-name object))))
        (and (< (abs number) 1.0e+INF) number)))))

(defun runlog-client-retain (client)
  "Somebody needs CLIENT from now on, until `runlog-client-release'."
  (cl-incf (runlog-client-users client))
  (when (eq (runlog-client-state client) 'idle)
    (runlog-client--start client)))

(defun runlog-client-release (client)
  "Somebody does not need CLIENT any more."
  (cl-decf (runlog-client-users client))
  (when (zerop (runlog-client-users client))
    (runlog-client--finish client)))

(defun runlog-client--finish (client)
  "Let the process of CLIENT end, after what is in flight."
  (setq runlog-client--all (delq client runlog-client--all))
  (when (runlog-client-timer client)
    (cancel-timer (runlog-client-timer client)))
  (let ((connection (runlog-client-connection client)))
    (setf (runlog-client-connection client) nil
          (runlog-client-queue client) nil
          (runlog-client-state client) 'idle)
    (when (and connection (jsonrpc-running-p connection))
      (let ((process (jsonrpc--process connection)))
        (process-send-eof process)
        (run-at-time runlog-client--end-within nil
                     (lambda ()
                       (when (process-live-p process)
                         (delete-process process))))))))

(defun runlog-client--leave ()
  "Emacs ends: wait for what is in flight."
  (with-demoted-errors "runlog: %S"
    (with-timeout (runlog-client--delete-within)
      ;; of many runs only some are deleted, or had back, at a time
      (while (cl-some (lambda (client)
                        (and (runlog-client-connection client)
                             (> (runlog-client-under-way client) 0)))
                      runlog-client--all)
        (accept-process-output nil 0.01)))
    (mapc #'runlog-client--finish (copy-sequence runlog-client--all))
    (with-timeout (runlog-client--end-within)
      (while (cl-some (lambda (process)
                        (and (process-get process 'runlog-connection)
                             (process-live-p process)))
                      (process-list))
        (accept-process-output nil 0.01)))))

(add-hook 'kill-emacs-hook #'runlog-client--leave)

(defun runlog-client-retry (client)
  "Try again what was given up by CLIENT."
  (when (memq (runlog-client-state client) '(missing failed))
    (setf (runlog-client-silent client) 0
          (runlog-client-delay client) runlog-client--first-delay)
    (runlog-client--start client)))

(defun runlog-client-can (client method)
  "Whether the daemon of CLIENT knows METHOD, a string."
  (seq-contains-p (runlog-client-get (runlog-client-server client) :capabilities :methods)
                  method))

(defun runlog-client-request (client method params success &optional failure)
  "Ask CLIENT for METHOD, a symbol, with PARAMS, a plist.
SUCCESS is called with the result, or FAILURE with an error, a plist; without
it the error is shown."
  (let ((request (runlog-client--request-make
                  :method method :params params :success success
                  :failure (or failure
                               (lambda (err)
                                 (message "runlog: %s" (plist-get err :message)))))))
    (cond
     ((memq (runlog-client-state client) '(missing failed))
      (runlog-client--settle request nil (runlog-client--unreachable client)))
     ((runlog-client-connection client)
      (runlog-client--send client request))
     (t (push request (runlog-client-queue client))))))

(defun runlog-client-await (client method params seconds)
  "Ask CLIENT for METHOD with PARAMS and wait for SECONDS at most.
Return the result, or nil with nothing said."
  (let (answered result)
    (runlog-client-request client method params
                           (lambda (value) (setq answered t result value))
                           (lambda (_) (setq answered t)))
    (with-timeout (seconds nil)
      (while (not answered)
        (accept-process-output nil 0.05)))
    result))

(defun runlog-client-subscribe (client params told)
  "From CLIENT hear of every change after the clock `:since' of PARAMS.
TOLD is called with each, whatever dies in between.  Return what
`runlog-client-unsubscribe' takes."
  (let ((subscription (runlog-client--subscription-make
                       :params (copy-sequence params) :told told)))
    (push subscription (runlog-client-subscriptions client))
    (when (runlog-client-connection client)
      (runlog-client--subscribe client subscription))
    subscription))

(defun runlog-client-unsubscribe (client subscription)
  "Hear no more of SUBSCRIPTION from CLIENT."
  (setf (runlog-client-subscriptions client)
        (delq subscription (runlog-client-subscriptions client)))
  (let ((id (runlog-client--subscription-id subscription)))
    (when (and id (runlog-client-connection client))
      (runlog-client-request client 'executions/unsubscribe `(:subscription ,id)
                             #'ignore #'ignore))))

(defun runlog-client--subscribe (client subscription)
  "Ask CLIENT for SUBSCRIPTION."
  (runlog-client-request
   client 'executions/subscribe (runlog-client--subscription-params subscription)
   (lambda (id)
     (setf (runlog-client--subscription-id subscription) id
           (runlog-client--subscription-refused subscription) nil)
     (unless (memq subscription (runlog-client-subscriptions client))
       (runlog-client-unsubscribe client subscription)))
   (lambda (err)
     (when (memq subscription (runlog-client-subscriptions client))
       (setf (runlog-client--subscription-refused subscription) (plist-get err :message))
       (force-mode-line-update t)
       (message "runlog: the list is not live: %s" (plist-get err :message))))))

(defun runlog-client-refused (subscription)
  "Return why the daemon does not tell of what SUBSCRIPTION is about, if so."
  (runlog-client--subscription-refused subscription))

(defun runlog-client--unreachable (client)
  "The error of what is asked where CLIENT has given up."
  `(:code 503 :message ,(runlog-client-trouble client) :data (:kind "unreachable")))

(defun runlog-client--settle (request result err)
  "Answer REQUEST with RESULT, or with ERR."
  (unless (runlog-client--request-settled request)
    (setf (runlog-client--request-settled request) t)
    (with-demoted-errors "runlog: %S"
      (if err
          (funcall (runlog-client--request-failure request) err)
        (funcall (runlog-client--request-success request) result)))))

(defun runlog-client--send (client request)
  "Send REQUEST to the process of CLIENT."
  (let ((connection (runlog-client-connection client)))
    (condition-case oops
        (jsonrpc-async-request
         connection
         (runlog-client--request-method request)
         (runlog-client--request-params request)
         ;; a first index may take longer than any default
         :timeout nil
         :success-fn (lambda (result)
                       (runlog-client--settle request result nil))
         :error-fn (lambda (err)
                     (if (eq (plist-get err :code) -1)
                         (runlog-client--lost client request)
                       (runlog-client--settle request nil err))))
      (error
       (if (jsonrpc-running-p connection)
           (runlog-client--settle request nil
                                  `(:code -32603 :message ,(error-message-string oops)))
         (runlog-client--lost client request))))
    ;; it may have died while it was written to, before anybody waited for an answer
    (unless (jsonrpc-running-p connection)
      (runlog-client--lost client request))))

(defun runlog-client--lost (client request)
  "The process of CLIENT has died without an answer to REQUEST."
  (let ((method (runlog-client--request-method request)))
    (cond
     ((runlog-client--request-settled request))
     ((memq request (runlog-client-queue client)))
     ((memq method runlog-client--mutations)
      (runlog-client--settle
       request nil
       '(:code 503
         :message "The daemon died before it answered; look whether it was done, and try again if not"
         :data (:kind "daemon-lost" :outcome "unknown"))))
     ((memq method '(initialize executions/subscribe executions/unsubscribe))
      (setf (runlog-client--request-settled request) t))
     (t (push request (runlog-client-queue client))))))

(defun runlog-client--set-state (client state &optional trouble)
  "Set the STATE of CLIENT, which is due to TROUBLE."
  (setf (runlog-client-state client) state
        (runlog-client-trouble client) trouble)
  (dolist (watcher (runlog-client-watchers client))
    (with-demoted-errors "runlog: %S"
      (funcall watcher))))

(defun runlog-client--give-up (client state trouble)
  "Give up with STATE because of TROUBLE; who waits for CLIENT is told."
  (let ((queue (nreverse (runlog-client-queue client))))
    (setf (runlog-client-queue client) nil)
    (runlog-client--set-state client state trouble)
    (dolist (request queue)
      (runlog-client--settle request nil (runlog-client--unreachable client)))))

(defun runlog-client--missing ()
  "Return why the program cannot be found."
  (cond
   ((not (string-search "/" runlog-command))
    (format "The program %S is not on PATH." runlog-command))
   ((file-exists-p runlog-command) (format "%s is not executable." runlog-command))
   (t (format "There is no program %s." runlog-command))))

(defun runlog-client--start (client)
  "Start a process for CLIENT."
  (let* ((program (executable-find runlog-command))
         (name (format "runlog %s" (runlog-client-root client)))
         (arguments `("serve" "--shared"
                      ,@(and (runlog-client-given client)
                             (list "--projects" (runlog-client-root client)))))
         (folder (file-name-as-directory (runlog-client-folder client)))
         (there (file-directory-p folder))
         ;; a root that is named is found from anywhere
         (default-directory (if there folder "/"))
         connection)
    (cond
     ((not (or there (runlog-client-given client)))
      ;; elsewhere it would serve what is found there
      (runlog-client--give-up
       client 'failed (format "There is no folder %s." (runlog-client-folder client))))
     ((not program)
      (runlog-client--give-up client 'missing (runlog-client--missing)))
     (t
      (condition-case oops
          (setq connection
                (make-instance
                 'runlog-client--connection
                 :name name
                 :events-buffer-scrollback-size 0
                 :notification-dispatcher
                 (lambda (_ method params)
                   (when (eq method 'executions/changed)
                     (runlog-client--told client params)))
                 :on-shutdown (lambda (ended) (runlog-client--ended client ended))
                 :process
                 (lambda ()
                   (let ((stderr (get-buffer-create (format "*%s stderr*" name)))
                         ;; what is told is to be shown now, not in a while
                         (process-adaptive-read-buffering nil))
                     (prog1 (make-process :name name
                                          :command (cons program arguments)
                                          :connection-type 'pipe
                                          :coding 'binary
                                          :noquery t
                                          :stderr stderr)
                       (set-process-query-on-exit-flag (get-buffer-process stderr) nil))))))
        (error
         (runlog-client--give-up
          client 'missing
          (format "%s cannot be started: %s" program (error-message-string oops)))))
      (when connection
        (runlog-client--dress connection)
        (setf (runlog-client-connection client) connection
              (runlog-client-heard client) nil)
        (runlog-client--set-state client 'starting)
        (runlog-client-request
         client 'initialize
         `(:protocolVersion ,runlog-client--protocol
           :processId ,(emacs-pid)
           :clientInfo (:name "runlog.el" :version ,emacs-version))
         (lambda (server)
           (let ((version (runlog-client-get server :protocolVersion)))
             (if (not (eql version runlog-client--protocol))
                 (runlog-client--end
                  client connection
                  (format "speaks version %s of the protocol; update this package" version))
               (setf (runlog-client-server client) server
                     (runlog-client-heard client) t)
               (runlog-client--set-state client 'ready))))
         (lambda (err)
           (runlog-client--end client connection
                               (format "refuses to begin: %s" (plist-get err :message)))))
        (run-at-time runlog-client--answer-within nil
                     (lambda ()
                       (unless (runlog-client-heard client)
                         (runlog-client--end client connection
                                             "does not answer; is it the right program?"))))
        ;; the list's first: of too many the daemon refuses the last ones
        (dolist (subscription (reverse (runlog-client-subscriptions client)))
          (runlog-client--subscribe client subscription))
        (let ((queue (nreverse (runlog-client-queue client))))
          (setf (runlog-client-queue client) nil)
          (dolist (request queue)
            (runlog-client--send client request))))))))

(defun runlog-client--end (client connection trouble)
  "End CONNECTION, if it is still that of CLIENT, and give up because of TROUBLE."
  (when (eq connection (runlog-client-connection client))
    (let ((process (jsonrpc--process connection)))
      (process-put process 'runlog-trouble trouble)
      (delete-process process))))

(defun runlog-client--dress (connection)
  "Give CONNECTION our own filter and a sentinel that is quiet."
  (let* ((process (jsonrpc--process connection))
         (sentinel (process-sentinel process)))
    (with-current-buffer (process-buffer process)
      (let ((inhibit-read-only t))
        (erase-buffer)
        (set-buffer-multibyte nil)))
    (process-put process 'runlog-connection connection)
    (set-process-filter process #'runlog-client--filter)
    (set-process-sentinel process
                          (lambda (process change)
                            (let ((inhibit-message t)
                                  (message-log-max nil))
                              (funcall sentinel process change))))))

(defun runlog-client--told (client params)
  "Pass on a change that was told to CLIENT, as PARAMS say."
  (let ((subscription (cl-find (plist-get params :subscription)
                               (runlog-client-subscriptions client)
                               :key #'runlog-client--subscription-id))
        (change (plist-get params :result)))
    (when subscription
      (setf (runlog-client--subscription-params subscription)
            (plist-put (runlog-client--subscription-params subscription)
                       :since (plist-get change :clock)))
      (with-demoted-errors "runlog: %S"
        (funcall (runlog-client--subscription-told subscription) change)))))

(defun runlog-client--ended (client connection)
  "CONNECTION, a process of CLIENT, has ended."
  (let* ((process (jsonrpc--process connection))
         (status (process-exit-status process))
         (stderr (jsonrpc-stderr-buffer connection))
         (said (if (buffer-live-p stderr)
                   (with-current-buffer stderr
                     (replace-regexp-in-string
                      "\n*Process .* stderr [^\n]*\n*\\'" "" (buffer-string)))
                 ""))
         (odd (if (and (string-blank-p said) (buffer-live-p (process-buffer process)))
                  (with-current-buffer (process-buffer process)
                    (decode-coding-string
                     (buffer-substring (point-min) (min (point-max) 1000)) 'utf-8))
                ""))
         (words (string-trim (concat said odd))))
    (dolist (buffer (list (process-buffer process) stderr
                          (get-buffer (format "*%s events*" (jsonrpc-name connection)))))
      (when (buffer-live-p buffer)
        (kill-buffer buffer)))
    (when (eq connection (runlog-client-connection client))
      (setf (runlog-client-connection client) nil)
      (dolist (subscription (runlog-client-subscriptions client))
        (setf (runlog-client--subscription-id subscription) nil))
      (if (runlog-client-heard client)
          (setf (runlog-client-silent client) 0
                (runlog-client-delay client) runlog-client--first-delay)
        (cl-incf (runlog-client-silent client)))
      (if (or (process-get process 'runlog-trouble)
              (>= (runlog-client-silent client) runlog-client--silent-max)
              (and (not (runlog-client-heard client))
                   (not (zerop status))
                   (>= (runlog-client-silent client) 2)))
          (runlog-client--give-up
           client 'failed
           (concat runlog-command " "
                   (or (process-get process 'runlog-trouble)
                       (concat (format "ended with status %d" status)
                               (unless (string-empty-p words) (concat ": " words))))))
        (runlog-client--set-state client 'waiting)
        (setf (runlog-client-timer client)
              (run-at-time (runlog-client-delay client) nil
                           (lambda ()
                             (when (and (> (runlog-client-users client) 0)
                                        (eq (runlog-client-state client) 'waiting))
                               (runlog-client--start client))))
              (runlog-client-delay client)
              (min (* 2 (runlog-client-delay client)) runlog-client--longest-delay))))))

;;;; Reading

(defun runlog-client--filter (process chunk)
  "Take CHUNK, bytes from PROCESS, and pass on the messages that it completes."
  (when (buffer-live-p (process-buffer process))
    (let (messages)
      (with-current-buffer (process-buffer process)
        (let ((inhibit-read-only t)
              (more t))
          (goto-char (point-max))
          (insert chunk)
          (while more
            (let ((expected (process-get process 'runlog-expected)))
              (goto-char (point-min))
              (cond
               ((and (not expected) (search-forward "\r\n\r\n" nil t))
                (let ((end (point))
                      (case-fold-search t))
                  (goto-char (point-min))
                  (when (re-search-forward "^content-length: *\\([0-9]+\\)" end t)
                    (process-put process 'runlog-expected
                                 (string-to-number (match-string 1))))
                  (delete-region (point-min) end)))
               ((and expected (>= (buffer-size) expected))
                (push (buffer-substring-no-properties 1 (1+ expected)) messages)
                (delete-region 1 (1+ expected))
                (process-put process 'runlog-expected nil))
               (t (setq more nil)))))))
      (process-put process 'runlog-messages
                   (nconc (process-get process 'runlog-messages) (nreverse messages)))
      ;; what is received may let other output in: one after the other all the same
      (unless (process-get process 'runlog-busy)
        (process-put process 'runlog-busy t)
        (unwind-protect
            (while (process-get process 'runlog-messages)
              (let ((messages (process-get process 'runlog-messages)))
                (process-put process 'runlog-messages (cdr messages))
                (runlog-client--receive process (car messages))))
          (process-put process 'runlog-busy nil))))))

(defun runlog-client--receive (process body)
  "Pass on the message BODY, bytes that came from PROCESS."
  (let* ((text (decode-coding-string body 'utf-8 t))
         ;; only what records say is shown with its numbers as they are spelt
         (mark (and (string-match-p "\\`.\\{0,200\\}\"\\(?:execution\\|fields\\)\":" text)
                    (runlog-client--mark text))))
    (when-let ((message (or (and (not mark)
                                 (ignore-error json-parse-error (runlog-client--parse text)))
                            (condition-case oops
                                (runlog-client--unmark
                                 (runlog-client--parse (runlog-client--tame text mark)) mark)
                              (error
                               (message "runlog: an answer cannot be read: %s"
                                        (error-message-string oops))
                               nil)))))
      (with-demoted-errors "runlog: %S"
        (with-temp-buffer
          (jsonrpc-connection-receive (process-get process 'runlog-connection) message))))))

(defun runlog-client--parse (text)
  "Parse TEXT, a JSON object."
  (json-parse-string text :object-type 'plist :null-object :null :false-object :json-false))

(defun runlog-client--mark (text)
  "Return a character that TEXT, JSON, does not have, as a string."
  (let ((case-fold-search t))
    (cl-loop for code from #xe000 to #xf8ff
             unless (or (string-search (string code) text)
                        (string-match-p (format "\\\\u%04x" code) text))
             return (string code))))

(defun runlog-client--spelt-p (number)
  "Whether NUMBER, a text, is written as it is spelt once it was read."
  (or (string-match-p "\\`\\(?:0\\|-?[1-9][0-9]\\{0,14\\}\\)\\'" number)
      (equal number (ignore-errors
                      (format "%s" (aref (json-parse-string (format "[%s]" number)) 0))))))

(defun runlog-client--unmark (value mark)
  "Return VALUE, with texts that begin with MARK as symbols of that name."
  (cond
   ((and mark (stringp value) (string-prefix-p mark value))
    (make-symbol (substring value (length mark))))
   ((vectorp value)
    (dotimes (i (length value))
      (aset value i (runlog-client--unmark (aref value i) mark)))
    value)
   ((consp value)
    (cl-loop for rest on (cdr value) by #'cddr
             do (setcar rest (runlog-client--unmark (car rest) mark)))
    value)
   (t value)))

(defun runlog-client--tame (text mark)
  "Return TEXT, JSON, without what the parser does not take.
Escapes of lone surrogates become that of U+FFFD, those of NUL that of its
picture, and numbers that would be written otherwise texts behind MARK."
  (let ((case-fold-search t))
    (with-temp-buffer
      (insert text)
      (goto-char (point-min))
      (while (re-search-forward "\"\\|-?[0-9][-+.0-9e]*" nil t)
        (if (not (eq (char-before) ?\"))
            (let ((number (match-string 0)))
              (unless (runlog-client--spelt-p number)
                (replace-match (format "\"%s%s\"" (or mark "") number) t t)))
          (while (and (re-search-forward "[\"\\]" nil t) (eq (char-before) ?\\))
            (cond
             ((looking-at "ud[89ab][0-9a-f][0-9a-f]\\\\ud[c-f][0-9a-f][0-9a-f]")
              (goto-char (match-end 0)))
             ((looking-at "ud[89a-f][0-9a-f][0-9a-f]")
              (replace-match "ufffd" t t))
             ((looking-at "u0000")
              (replace-match "u2400" t t))
             (t (forward-char))))))
      (buffer-string))))

(provide 'runlog-client)
;;; runlog-client.el ends here
