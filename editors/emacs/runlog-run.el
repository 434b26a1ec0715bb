;;; runlog-run.el --- One run as a document  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; A run as text, with an outline of its parts and its steps; large texts are
;; read piece by piece.  It follows the run: what is saved meanwhile is shown.

;;; Code:

(require 'cl-lib)
(require 'outline)
(require 'diff)
(require 'diff-mode)
(require 'runlog-client)
(require 'runlog-list)
(require 'runlog-text)

(defcustom runlog-piece (* 256 1024)
  "How many bytes of a record are shown at first, and loaded at once.
The daemon takes 1024 to 62914560."
  :type '(restricted-sexp :match-alternatives
                          ((lambda (n) (and (integerp n) (<= 1024 n 62914560)))))
  :group 'runlog)

(defconst runlog-run--reload-every 0.5
  "Seconds between two readings of a run that is being recorded.")

(defconst runlog-run--reload-most 2.0
  "Seconds at most between them, however long one takes.")

(defconst runlog-run--most (* 60 1024 1024)
  "How many bytes are asked for at once, at most.")

(defvar-local runlog-run--ids nil "Params that name the run.")
(defvar-local runlog-run--summary nil "What lists say of it.")
(defvar-local runlog-run--record nil "Its record, as far as it was read.")
(defvar-local runlog-run--cuts nil "What was left out, by JSON pointer.")
(defvar-local runlog-run--version nil "The version that was read.")
(defvar-local runlog-run--gone nil "Whether it is deleted.")
(defvar-local runlog-run--error nil "Why it cannot be read.")
(defvar-local runlog-run--subscription nil "The subscription to its changes.")
(defvar-local runlog-run--watcher nil "What hears of the client's states.")
(defvar-local runlog-run--reading nil "Whether its record is awaited.")
(defvar-local runlog-run--again nil "Whether it was saved meanwhile.")
(defvar-local runlog-run--took 0 "How long reading it took.")
(defvar-local runlog-run--room 1
  "How much more room than its record takes is asked for when it is read again.")
(defvar-local runlog-run--seen nil "Keys of the headings that were there before.")

;;;; Pieces

;; A record is nested plists and vectors; nil is an empty object.

(defun runlog-run--path (record pointer)
  "Return the keys and indices that lead to POINTER in RECORD."
  (let ((node record))
    (mapcar (lambda (token)
              (let* ((name (string-replace "~0" "~" (string-replace "~1" "/" token)))
                     (key (if (vectorp node)
                              (string-to-number name)
                            (intern (concat ":" name)))))
                (setq node (runlog-run--child node key))
                key))
            (cdr (split-string pointer "/")))))

(defun runlog-run--child (node key)
  "Return what NODE has at KEY."
  (cond ((and (vectorp node) (integerp key)) (and (< key (length node)) (aref node key)))
        ((and (consp node) (keywordp key)) (plist-get node key))))

(defun runlog-run--at (record pointer)
  "Return what is at POINTER in RECORD."
  (cl-reduce #'runlog-run--child (runlog-run--path record pointer) :initial-value record))

(defun runlog-run--with (node path value)
  "Return NODE with VALUE at PATH."
  (cond
   ((null path) value)
   ((vectorp node)
    (let ((copy (copy-sequence node)))
      (aset copy (car path) (runlog-run--with (aref node (car path)) (cdr path) value))
      copy))
   (t (plist-put (copy-sequence node) (car path)
                 (runlog-run--with (plist-get node (car path)) (cdr path) value)))))

(defun runlog-run--note-cuts (told cuts)
  "Put what was TOLD of cuts, a vector, into CUTS."
  (mapc (lambda (cut)
          (puthash (plist-get cut :pointer) (copy-sequence cut) cuts))
        told))

(defun runlog-run--piece (&optional times)
  "Return how many bytes are asked for at once, so many TIMES as usual."
  (min runlog-run--most (* (or times 1) (max 1024 runlog-piece))))

(defun runlog-run--piece-request (cut &optional upto)
  "Return the params that ask for more of CUT.
UPTO is how much of it is wanted in the end; without it, as much as there is
room for."
  (let* ((piece (runlog-run--piece))
         (pointer (plist-get cut :pointer))
         (kind (plist-get cut :kind))
         (given (plist-get cut :given))
         (length (plist-get cut :length))
         (last (if upto (min upto (or length upto)) length)))
    (cond
     ((equal kind "string")
      ;; at least a byte of JSON a unit; where they take more, the daemon says how
      ;; far it came
      `(:fields [,pointer] :maxBytes ,piece
        :range (:start ,given :end ,(min last (+ given piece)))))
     ((equal kind "array")
      ;; so many as there should be room for; a piece without room has no value
      (let* ((each (+ 200 (* 2 (/ (plist-get cut :sizeBytes) length))))
             (count (if (plist-get cut :alone) 1
                      (max 1 (min 100 (/ piece each))))))
        `(:maxBytes ,piece
          :fields ,(vconcat
                    (cl-loop for i from given below (min last (+ given count))
                             collect (format "%s/%d" pointer i))))))
     (t
      ;; which members are missing nobody knows: all of it again, and more
      (let ((bytes (min runlog-run--most (* 4 (or (plist-get cut :asked) piece)))))
        (plist-put cut :asked bytes)
        `(:fields [,pointer] :maxBytes ,bytes))))))

(defun runlog-run--take-piece (record cuts cut params answer)
  "Return RECORD with what ANSWER, to PARAMS, has more of CUT, one of CUTS."
  (let* ((pointer (plist-get cut :pointer))
         (kind (plist-get cut :kind))
         (length (plist-get cut :length))
         (path (runlog-run--path record pointer))
         (old (runlog-run--at record pointer))
         (field (lambda (pointer)
                  (plist-get (plist-get answer :fields) (intern (concat ":" pointer))))))
    (remhash pointer cuts)
    (cond
     ((equal kind "string")
      (let* ((piece (funcall field pointer))
             (value (plist-get piece :value))
             (end (or (runlog-client-get piece :range :end) length)))
        (when (< end length)
          (puthash pointer (plist-put cut :given end) cuts))
        (runlog-run--with record path (concat old (and (stringp value) value)))))
     ((equal kind "array")
      (let ((given (plist-get cut :given))
            (more t)
            values)
        (seq-do-indexed
         (lambda (name i)
           (let* ((piece (funcall field name))
                  (short (eq (plist-get piece :truncated) t)))
             (if (or (not more)
                     (not (plist-member piece :value))
                     (and (> i 0) short))
                 (setq more nil) ; no more room; it comes next
               (push (plist-get piece :value) values)
               (cl-incf given)
               (runlog-run--note-cuts (plist-get piece :cut) cuts)
               (when (and short (equal (plist-get piece :kind) "string"))
                 (puthash name
                          (list :pointer name :kind "string"
                                :given (runlog-client-get piece :range :end)
                                :length (plist-get piece :length)
                                :sizeBytes (plist-get piece :sizeBytes))
                          cuts)))))
         (plist-get params :fields))
        (when (< given length)
          (setq cut (plist-put cut :given given))
          (puthash pointer (plist-put cut :alone (not more)) cuts))
        (runlog-run--with record path (vconcat old (nreverse values)))))
     (t
      (let ((piece (funcall field pointer)))
        (runlog-run--note-cuts (plist-get piece :cut) cuts)
        (when-let ((again (gethash pointer cuts)))
          (puthash pointer (plist-put again :asked (plist-get cut :asked)) cuts))
        (if (plist-member piece :value)
            (runlog-run--with record path (plist-get piece :value))
          record))))))

(defun runlog-run--given (value cut)
  "Return how many units, elements or members of VALUE were read.
CUT tells what was left out, if something was."
  (cond
   (cut (plist-get cut :given))
   ((stringp value) (runlog-text-utf16-units value (length value)))
   ((vectorp value) (length value))
   ((consp value) (/ (length value) 2))
   (t 0)))

(defun runlog-run--size (value)
  "Return about how many bytes VALUE takes as JSON."
  (+ 8 (cond
        ((stringp value) (length (json-serialize value)))
        ((vectorp value) (cl-reduce #'+ value :key #'runlog-run--size))
        ((consp value)
         (cl-loop for (key member) on value by #'cddr
                  sum (+ (length (symbol-name key)) (runlog-run--size member))))
        (t 0))))

(defun runlog-run--behind (record cuts)
  "Return a cut of RECORD where less was read than is shown, and how much is.
CUTS are those of RECORD."
  (cl-loop for pointer being the hash-keys of cuts using (hash-values cut)
           for old = (runlog-run--at runlog-run--record pointer)
           for upto = (min (runlog-run--given old (gethash pointer runlog-run--cuts))
                           (or (plist-get cut :length) most-positive-fixnum))
           when (and (eq (type-of old) (type-of (runlog-run--at record pointer)))
                     (< (plist-get cut :given) upto)
                     (not (plist-get cut :stuck)))
           return (cons cut upto)))

(defun runlog-run-more ()
  "Load what was left out at point, or open or close the outline there."
  (interactive nil runlog-run-mode)
  (let ((pointer (get-text-property (line-beginning-position) 'runlog-cut)))
    (cond
     (pointer (runlog-run--load-more pointer))
     ((outline-on-heading-p)
      (if (outline-invisible-p (line-end-position))
          (outline-show-subtree)
        (outline-hide-subtree)))
     ((ignore-errors (outline-back-to-heading) t) (outline-hide-subtree)))))

(defun runlog-run--load-more (pointer)
  "Load what was left out at POINTER."
  (when-let ((cut (gethash pointer runlog-run--cuts)))
    (let ((params (runlog-run--piece-request cut))
          (buffer (current-buffer))
          (record runlog-run--record))
      (runlog-client-request
       runlog-client 'executions/get (append runlog-run--ids params)
       (lambda (answer)
         (runlog-list--in buffer
           (if (not (eq record runlog-run--record))
               (runlog-run--load-more pointer) ; it was read anew meanwhile
             (setq runlog-run--record
                   (runlog-run--take-piece record runlog-run--cuts cut params answer))
             (if (equal runlog-run--version (plist-get answer :version))
                 (runlog-run--paint)
               ;; it was saved meanwhile, and the pieces do not fit
               (runlog-run--read)))))))))

;;;; As text

(defvar runlog-run--lines nil "The lines that are being made, the last one first.")

(defvar runlog-run--final nil "Whether no more can be loaded where they are shown.")

(defconst runlog-run--longest 2000
  "Characters of a line at most: Emacs takes seconds to move in one that is long.")

(defconst runlog-run--goes-on (propertize "  " 'runlog-goes-on t)
  "What is before the rest of a line that is broken.")

(defun runlog-run--add (key text &optional face)
  "Add a line of TEXT in FACE with KEY; where it is read, a long one is broken."
  (let ((text (if face (runlog-text-face text face) text))
        (from 0)
        (number 0))
    (unless runlog-run--final
      (while (> (- (length text) from) runlog-run--longest)
        (push (cons (if (= 0 number) key (format "%s broken %d" key number))
                    (concat (and (> from 0) runlog-run--goes-on)
                            (substring text from (cl-incf from runlog-run--longest))))
              runlog-run--lines)
        (cl-incf number)))
    (push (if (= 0 number) (cons key text)
            (cons (format "%s broken %d" key number)
                  (concat runlog-run--goes-on (substring text from))))
          runlog-run--lines)))

(defun runlog-run--unbroken (from to delete)
  "Return the text between FROM and TO with its long lines whole.
DELETE is as in `buffer-substring--filter'."
  (let ((text (buffer-substring--filter from to delete)))
    (with-temp-buffer
      (insert text)
      (goto-char (point-min))
      (while (search-forward "\n" nil t)
        (when (get-text-property (point) 'runlog-goes-on)
          (delete-region (1- (point))
                         (next-single-property-change (point) 'runlog-goes-on nil (point-max)))))
      (buffer-string))))

(defun runlog-run--no-heading (text)
  "Return TEXT so that the outline does not take it for a heading."
  (if (string-match-p "\\`\\*+ " text) (concat " " text) text))

(defun runlog-run--add-cut (pointer cuts indent)
  "Add what CUTS tell of POINTER, behind INDENT."
  (when-let ((cut (gethash pointer cuts)))
    (let ((length (plist-get cut :length)))
      (runlog-run--add
       (concat pointer " cut")
       (propertize
        (concat indent
                (if length
                    (format "… %s of %s %s are shown"
                            (runlog-text-count (plist-get cut :given))
                            (runlog-text-count length)
                            (pcase (plist-get cut :kind)
                              ("string" "characters") ("array" "elements") (_ "members")))
                  (format "… %s were left out" (runlog-text-bytes (plist-get cut :sizeBytes))))
                (unless runlog-run--final "; RET loads more"))
        'runlog-cut pointer)
       'runlog-hint))))

(defun runlog-run--scalar (value)
  "Return VALUE, no object or array, as JSON."
  (pcase value
    (:null "null")
    ('t "true")
    (:json-false "false")
    ((pred stringp) (runlog-run--quote value))
    (_ (format "%s" value))))

(defun runlog-run--quote (text)
  "Return TEXT as JSON."
  (runlog-text-visible
   (concat "\""
           (replace-regexp-in-string
            "[\"\\\0-\37]"
            (lambda (found)
              (pcase (aref found 0)
                (?\" "\\\"") (?\\ "\\\\") (?\n "\\n") (?\r "\\r") (?\t "\\t")
                (char (format "\\u%04x" char))))
            text t t)
           "\"")))

(defun runlog-run--name (keyword)
  "Return the name of a member, KEYWORD."
  (substring (symbol-name keyword) 1))

(defun runlog-run--pointer (pointer key)
  "Return POINTER continued by KEY."
  (format "%s/%s" pointer
          (if (integerp key) key
            (string-replace "/" "~1" (string-replace "~" "~0" (runlog-run--name key))))))

(defun runlog-run--add-json (pointer value cuts indent before after)
  "Add VALUE, which is at POINTER, as JSON between BEFORE and AFTER.
CUTS tell what was left out; INDENT is before each line."
  (if (not (or (listp value) (vectorp value)))
      (progn
        (runlog-run--add pointer (concat indent before (runlog-run--scalar value) after))
        (runlog-run--add-cut pointer cuts (concat indent "  ")))
    (let ((open (if (vectorp value) "[" "{"))
          (close (if (vectorp value) "]" "}"))
          (deeper (concat indent "  ")))
      (if (and (seq-empty-p value) (not (gethash pointer cuts)))
          (runlog-run--add pointer (concat indent before open close after))
        (runlog-run--add pointer (concat indent before open))
        (if (vectorp value)
            (dotimes (i (length value))
              (runlog-run--add-json (runlog-run--pointer pointer i) (aref value i) cuts deeper
                                    "" (if (< i (1- (length value))) "," "")))
          (cl-loop for (key member . rest) on value by #'cddr
                   do (runlog-run--add-json (runlog-run--pointer pointer key) member cuts deeper
                                            (concat (runlog-run--quote (runlog-run--name key)) ": ")
                                            (if rest "," ""))))
        (runlog-run--add-cut pointer cuts deeper)
        (runlog-run--add (concat pointer " end") (concat indent close after))))))

(defun runlog-run--add-value (pointer value cuts indent)
  "Add VALUE, at POINTER, behind INDENT: texts as they are, else as JSON.
CUTS tell what was left out."
  (if (not (stringp value))
      (runlog-run--add-json pointer value cuts indent "" "")
    (let ((number 0))
      (dolist (line (runlog-text-lines value))
        (runlog-run--add (format "%s %d" pointer (cl-incf number)) (concat indent line))))
    (runlog-run--add-cut pointer cuts indent)))

(defun runlog-run--said-p (value)
  "Whether there is something in VALUE."
  (not (member value '(nil :null ""))))

(defconst runlog-run--summarized
  '(:status :startedAt :completedAt :duration :tokenUsage :costUSD :retryCount :model)
  "Members of a record that its summary tells, where they can be understood.")

(defun runlog-run--told-p (summary key value)
  "Whether the member KEY of a record, VALUE, is told elsewhere, as by SUMMARY."
  (cond
   ((memq key '(:error :input :output :steps)) t)
   ((memq key '(:id :projectId :name)) (or (stringp value) (not (runlog-run--said-p value))))
   ((memq key runlog-run--summarized)
    (or (runlog-client-get summary key) (not (runlog-run--said-p value))))))

(defun runlog-run--step-told-p (key value)
  "Whether the member KEY of a step, VALUE, is told elsewhere."
  (pcase key
    ((or :error :input :output) t)
    ((or :id :nodeId :nodeType :name :status :startedAt :completedAt :model)
     (or (stringp value) (not (runlog-run--said-p value))))
    ((or :duration :costUSD)
     (or (numberp (runlog-client-get value)) (not (runlog-run--said-p value))))
    (:tokenUsage (or (consp value) (not (runlog-run--said-p value))))))

(defun runlog-run--add-rest (pointer object told-p cuts indent)
  "Add the members of OBJECT, at POINTER, behind INDENT.
Those are left out of which TOLD-P holds, called with key and value.
CUTS tell what was left out."
  (cl-loop for (key value) on object by #'cddr
           unless (funcall told-p key value)
           do (runlog-run--add-json (runlog-run--pointer pointer key) value cuts indent
                                    (concat (runlog-run--quote (runlog-run--name key)) ": ") "")))

(defun runlog-run--tokens (usage)
  "Spell USAGE of tokens."
  (string-join
   (delq nil
         (mapcar (pcase-lambda (`(,key . ,what))
                   (let ((count (runlog-client-get usage key)))
                     (and (numberp count) (concat (runlog-text-count count) " " what))))
                 '((:input . "in") (:output . "out") (:total . "in all"))))
   ", "))

(defun runlog-run--add-step (number step cuts)
  "Add STEP, that with NUMBER; CUTS tell what was left out."
  (let* ((pointer (format "/steps/%d" number))
         (get (lambda (key)
                (let ((value (and (consp step) (plist-get step key))))
                  (and (stringp value) (runlog-text-line value)))))
         (status (funcall get :status))
         (err (funcall get :error))
         (amount (lambda (key spell)
                   (let ((spelt (funcall spell (runlog-client-get step key))))
                     (and spelt (runlog-text-face spelt 'runlog-number))))))
    (runlog-run--add
     pointer
     (string-join
      (delq nil
            (list (format "** %d" (1+ number))
                  (and status (runlog-text-face status (runlog-text-status-face status)))
                  (runlog-text-face (or (funcall get :nodeId) (funcall get :name)
                                        (funcall get :id) "")
                                    'runlog-project)
                  (and (funcall get :nodeId) (funcall get :name))
                  (and (funcall get :nodeType)
                       (runlog-text-face (funcall get :nodeType) 'runlog-hint))
                  (funcall amount :duration #'runlog-text-duration)
                  (funcall amount :costUSD #'runlog-text-cost)
                  (and err (runlog-text-face (runlog-text-shorten err 60) 'runlog-error))))
      "  "))
    (if (not (consp step))
        (runlog-run--add-json (concat pointer " value") step cuts "   " "" "")
      (dolist (key '(:startedAt :completedAt :model))
        (when (funcall get key)
          (runlog-run--add (format "%s %s" pointer key)
                           (format "   %s %s" (runlog-run--name key) (funcall get key))
                           'runlog-hint)))
      (let ((tokens (runlog-run--tokens (runlog-client-get step :tokenUsage))))
        (unless (string-empty-p tokens)
          (runlog-run--add (concat pointer " tokens") (concat "   tokens " tokens) 'runlog-hint)))
      (dolist (key '(:error :input :output))
        (when (runlog-run--said-p (plist-get step key))
          (runlog-run--add (format "%s/%s title" pointer key)
                           (concat "*** " (runlog-run--name key))
                           (if (eq key :error) 'runlog-error 'runlog-heading))
          (runlog-run--add-value (runlog-run--pointer pointer key) (plist-get step key)
                                 cuts "    ")))
      (runlog-run--add-rest pointer step #'runlog-run--step-told-p cuts "   ")
      (runlog-run--add-cut pointer cuts "   "))))

(defun runlog-run--text (summary record cuts)
  "Return the lines of a run.
SUMMARY is what lists say of it, RECORD what was read, CUTS what was left out."
  (let* ((runlog-run--lines nil)
         (get (lambda (&rest keys) (apply #'runlog-client-get summary keys)))
         (status (runlog-text-status summary))
         (field (lambda (name value)
                  (when (and value (not (equal value "")))
                    (runlog-run--add (concat "field " name)
                                     (concat (runlog-text-face (format "%-10s" name) 'runlog-hint)
                                             value))))))
    (runlog-run--add "label"
                     (runlog-run--no-heading
                      (runlog-text-line (or (funcall get :label) (funcall get :id))))
                     'runlog-heading)
    (runlog-run--add "status" (runlog-run--no-heading (runlog-text-line status))
                     (runlog-text-status-face status))
    (funcall field "Run" (runlog-text-line (runlog-list--key summary)))
    (funcall field "Started" (runlog-text-date (funcall get :startedAt)))
    (funcall field "Ended" (runlog-text-date (funcall get :completedAt)))
    (funcall field "Duration" (runlog-text-duration (funcall get :duration)))
    (funcall field "Cost" (runlog-text-cost (funcall get :costUSD)))
    (funcall field "Tokens" (runlog-run--tokens (funcall get :tokenUsage)))
    (funcall field "Model" (and (funcall get :model) (runlog-text-line (funcall get :model))))
    (funcall field "Retries" (and (> (or (funcall get :retryCount) 0) 0)
                                  (number-to-string (funcall get :retryCount))))
    (funcall field "Pinned" (and (eq (funcall get :pinned) t) "yes"))
    (funcall field "Tags" (runlog-text-line (string-join (funcall get :tags) ", ")))
    (let ((name "Note") (number 0))
      (dolist (line (and (funcall get :note) (runlog-text-lines (funcall get :note))))
        (runlog-run--add (format "field Note %d" (cl-incf number))
                         (concat (runlog-text-face (format "%-10s" name) 'runlog-hint) line))
        (setq name "")))
    (funcall field "File" (runlog-text-bytes (funcall get :sizeBytes)))
    (runlog-run--add "gap" "")
    (dolist (key '(:error :input :output))
      (let ((value (plist-get record key)))
        (when (runlog-run--said-p value)
          (runlog-run--add (format "%s title" key)
                           (concat "* " (capitalize (runlog-run--name key)))
                           'runlog-heading)
          (runlog-run--add-value (runlog-run--pointer "" key) value cuts "  "))))
    (let ((steps (plist-get record :steps))
          (cut (gethash "/steps" cuts)))
      (cond
       ((and (vectorp steps) (or cut (> (length steps) 0)))
        (runlog-run--add "steps title"
                         (format "* Steps (%s)"
                                 (runlog-text-count (or (plist-get cut :length)
                                                        (length steps))))
                         'runlog-heading)
        (dotimes (i (length steps))
          (runlog-run--add-step i (aref steps i) cuts))
        (when cut
          ;; a heading, so that it is not folded away with the last step
          (runlog-run--add-cut "/steps" cuts "** ")))
       ((and (not (vectorp steps)) (runlog-run--said-p steps))
        (runlog-run--add "steps title" "* Steps" 'runlog-heading)
        (runlog-run--add-value "/steps" steps cuts "  "))))
    (let ((told-p (apply-partially #'runlog-run--told-p summary)))
      (when (cl-loop for (key value) on record by #'cddr
                     thereis (not (funcall told-p key value)))
        (runlog-run--add "rest title" "* Other members" 'runlog-heading)
        (runlog-run--add-rest "" record told-p cuts "  ")))
    (runlog-run--add-cut "" cuts "  ")
    (nreverse runlog-run--lines)))

;;;; The buffer

(defun runlog-run--paint ()
  "Show what there is."
  (let ((folded (make-hash-table :test #'equal)))
    (save-excursion
      (goto-char (point-min))
      (dolist (old runlog-text--lines)
        (when (looking-at-p "\\*+ ")
          (puthash (car old) (if (outline-invisible-p (line-end-position)) 'folded 'open) folded))
        (forward-line)))
    (outline-show-all)
    (runlog-text-paint
     (cond
      ((and runlog-run--error (not runlog-run--record))
       (list (cons "\nerror" (runlog-text-face (runlog-text-line
                                                (plist-get runlog-run--error :message))
                                               'runlog-error))
             (cons "\nhint" "g tries again, q closes.")))
      (runlog-run--summary
       (runlog-run--text runlog-run--summary runlog-run--record runlog-run--cuts))
      (t '(("\nloading" . "Loading…")))))
    ;; what was folded stays so, and steps that are new are folded
    (save-excursion
      (goto-char (point-max))
      (let ((lines (reverse runlog-text--lines)))
        (dolist (line lines)
          (forward-line -1)
          (when (looking-at-p "\\*+ ")
            (when (pcase (gethash (car line) folded)
                    ('folded t)
                    ('open nil)
                    (_ (looking-at-p "\\*\\* [0-9]")))
              (outline-hide-subtree))))))
    (runlog-list--when-stale (runlog-text-turns-stale runlog-run--summary) #'runlog-run--paint)
    (force-mode-line-update)))

(defun runlog-run--load ()
  "Read summary and record."
  (let ((buffer (current-buffer))
        (about (runlog-naming (plist-get runlog-run--ids :projectId)
                              (plist-get runlog-run--ids :executionId))))
    (runlog-client-request
     runlog-client 'executions/list `(,@about :limit 1)
     (lambda (answer)
       (runlog-list--in buffer
         (unless runlog-run--subscription
           (setq runlog-run--subscription
                 (runlog-client-subscribe
                  runlog-client `(,@about :since ,(plist-get answer :clock))
                  (lambda (change)
                    (runlog-list--in buffer (runlog-run--told change))))))
         (let ((rows (plist-get answer :executions)))
           (cond
            ((> (length rows) 0)
             (setq runlog-run--summary (aref rows 0)
                   runlog-run--gone nil)
             (runlog-run--read))
            (runlog-run--record
             (setq runlog-run--gone t)
             (runlog-run--paint))
            (t (runlog-run--read))))))
     (lambda (err)
       (runlog-list--in buffer
         (setq runlog-run--error err)
         (runlog-run--paint))))))

(defun runlog-run--read ()
  "Read the record, as far as it was read before."
  (if runlog-run--reading
      (setq runlog-run--again t)
    (let ((buffer (current-buffer))
          (began (float-time)))
      (setq runlog-run--reading t
            runlog-run--again nil)
      (runlog-client-request
       runlog-client 'executions/get
       (append runlog-run--ids
               `(:maxBytes ,(min runlog-run--most
                                 (* runlog-run--room
                                    (max (runlog-run--piece)
                                         (runlog-run--size runlog-run--record))))))
       (lambda (answer)
         (runlog-list--in buffer
           (let ((cuts (make-hash-table :test #'equal)))
             (runlog-run--note-cuts (plist-get answer :cut) cuts)
             (runlog-run--catch-up (plist-get answer :execution) cuts
                                   (plist-get answer :version) began))))
       (lambda (err)
         (runlog-list--in buffer
           (runlog-run--was-read began err)))))))

(defun runlog-run--catch-up (record cuts version began)
  "Read as much of RECORD as is shown of the run, then show that instead.
CUTS are those of RECORD, VERSION is its version; reading it BEGAN then."
  (pcase (runlog-run--behind record cuts)
    (`(,cut . ,upto)
     (let ((params (runlog-run--piece-request cut upto))
           (buffer (current-buffer))
           (given (plist-get cut :given))
           (alone (plist-get cut :alone)))
       (runlog-client-request
        runlog-client 'executions/get (append runlog-run--ids params)
        (lambda (answer)
          (runlog-list--in buffer
            (if (equal version (plist-get answer :version))
                (let* ((record (runlog-run--take-piece record cuts cut params answer))
                       (pointer (plist-get cut :pointer))
                       (cut (gethash pointer cuts)))
                  ;; the next element alone, or all of an object with more room, may
                  ;; still be had
                  (when (and cut
                             (= given (plist-get cut :given))
                             (pcase (plist-get cut :kind)
                               ("array" alone)
                               ("object" (>= (plist-get cut :asked) runlog-run--most))
                               (_ t)))
                    (puthash pointer (plist-put cut :stuck t) cuts))
                  (runlog-run--catch-up record cuts version began))
              ;; it was saved between two pieces: with more room there are none
              (setq runlog-run--room (* 4 runlog-run--room)
                    runlog-run--again t)
              (runlog-run--was-read began))))
        (lambda (err)
          (runlog-list--in buffer
            (runlog-run--was-read began err))))))
    (_
     (setq runlog-run--record record
           runlog-run--version version
           runlog-run--cuts cuts
           runlog-run--room 1
           runlog-run--summary (or runlog-run--summary
                                   (list :id (plist-get runlog-run--ids :executionId)
                                         :projectId (plist-get runlog-run--ids :projectId))))
     (runlog-run--was-read began))))

(defun runlog-run--was-read (began &optional err)
  "Show what was read; that BEGAN then, and ended with ERR."
  (setq runlog-run--reading nil
        runlog-run--took (- (float-time) began)
        runlog-run--error err)
  (when runlog-run--again
    (runlog-run--read-soon))
  (runlog-run--paint))

(defun runlog-run--read-soon ()
  "Read the record in a while."
  (runlog-list--later 'read
                      (min runlog-run--reload-most
                           (max runlog-run--reload-every (* 5 runlog-run--took)))
                      #'runlog-run--read))

(defun runlog-run--told (change)
  "Follow CHANGE."
  (let ((kind (plist-get change :kind)))
    (cond
     ((equal kind "saved")
      (setq runlog-run--summary (plist-get change :summary)
            runlog-run--gone nil)
      (when (or runlog-run--error
                (not (equal (plist-get runlog-run--summary :version) runlog-run--version)))
        (runlog-run--read-soon))
      (runlog-run--paint))
     ((member kind '("deleted" "left"))
      ;; also told of others of the project
      (when (equal (plist-get change :executionId)
                   (plist-get runlog-run--ids :executionId))
        (setq runlog-run--gone t)
        (force-mode-line-update)))
     ((equal kind "resync") (runlog-run--load)))))

(defun runlog-run-revert (&rest _)
  "Read the run again."
  (runlog-client-retry runlog-client)
  (runlog-run--load))

(defun runlog-run-delete ()
  "Delete this run, which is moved to the trash."
  (interactive nil runlog-run-mode)
  (runlog-delete runlog-client (list (runlog-row))))

(defun runlog-run-quit ()
  "Close this run: one that is only buried would go on being followed."
  (interactive nil runlog-run-mode)
  (quit-window t))

(defun runlog-run--step (by)
  "Go to the next step in the direction of BY."
  (let ((start (point)))
    (forward-line by)
    (while (and (not (looking-at-p "\\*\\* [0-9]")) (zerop (forward-line by)) (not (eobp))))
    (unless (looking-at-p "\\*\\* [0-9]")
      (goto-char start)
      (user-error "There is no further step"))))

(defun runlog-run-next-step ()
  "Go to the next step."
  (interactive nil runlog-run-mode)
  (runlog-run--step 1))

(defun runlog-run-previous-step ()
  "Go to the previous step."
  (interactive nil runlog-run-mode)
  (runlog-run--step -1))

(defconst runlog-run--keys
  '(("RET" runlog-run-more "load what was left out, or toggle the outline")
    ("TAB" outline-cycle "show more or less of it")
    ("<backtab>" outline-cycle-buffer "the same for all")
    ("n" runlog-run-next-step "next step")
    ("p" runlog-run-previous-step "previous step")
    ("f" runlog-find-file "open its file")
    ("w" runlog-copy-id "copy its id")
    ("d" runlog-run-delete "delete it")
    ("u" runlog-undo "undo the last deletion")
    ("*" runlog-pin "pin or unpin")
    ("t" runlog-tag "tags")
    ("N" runlog-note "note")
    ("g" revert-buffer "read it again")
    ("q" runlog-run-quit "close")
    ("?" runlog-help "this help"))
  "Keys of `runlog-run-mode'.")

(defvar runlog-run-mode-map (runlog-keymap runlog-run--keys)
  "Keys of `runlog-run-mode'.")

(define-derived-mode runlog-run-mode special-mode "Run"
  "A run, with an outline of its parts and its steps.

\\{runlog-run-mode-map}"
  (buffer-disable-undo)
  (setq-local revert-buffer-function #'runlog-run-revert
              filter-buffer-substring-function #'runlog-run--unbroken
              runlog-keys runlog-run--keys
              outline-regexp "\\*+ "
              bidi-paragraph-direction 'left-to-right
              runlog-run--cuts (make-hash-table :test #'equal)
              runlog-row-function (lambda ()
                                    (or runlog-run--summary (user-error "It is not loaded yet")))
              mode-line-process
              '(:eval (cond (runlog-run--gone
                             (if (runlog-undoes-p runlog-client
                                                  (runlog-list--key runlog-run--summary))
                                 " deleted; u has it back"
                               " it is not there any more"))
                            ((and runlog-run--error runlog-run--record)
                             (concat " " (string-replace
                                          "%" "%%"
                                          (runlog-text-line
                                           (plist-get runlog-run--error :message)))))
                            ((not (eq (runlog-client-state runlog-client) 'ready))
                             " not live"))))
  (setq-local word-wrap t)
  (outline-minor-mode))

(defun runlog-run--close ()
  "The buffer is killed."
  (mapc #'runlog-list--not-later '(read stale))
  (when runlog-client
    (when runlog-run--subscription
      (runlog-client-unsubscribe runlog-client runlog-run--subscription))
    (setf (runlog-client-watchers runlog-client)
          (delq runlog-run--watcher (runlog-client-watchers runlog-client)))
    (runlog-client-release runlog-client)))

(defun runlog-run-open (client summary)
  "Show the run of SUMMARY, of CLIENT."
  (let* ((ids `(:projectId ,(plist-get summary :projectId)
                :executionId ,(plist-get summary :id)))
         (buffer (or (cl-find-if (lambda (buffer)
                                   (with-current-buffer buffer
                                     (and (eq runlog-client client)
                                          (equal runlog-run--ids ids))))
                                 (buffer-list))
                     (generate-new-buffer (format "*run: %s*" (runlog-list--key summary))))))
    (with-current-buffer buffer
      (unless (derived-mode-p 'runlog-run-mode)
        (runlog-run-mode)
        (setq runlog-client client
              runlog-run--ids ids
              runlog-run--watcher (lambda ()
                                    (runlog-list--in buffer (force-mode-line-update))))
        (push runlog-run--watcher (runlog-client-watchers client))
        (add-hook 'kill-buffer-hook #'runlog-run--close nil t)
        (runlog-client-retain client)
        (runlog-run--paint)
        (runlog-run--load)))
    (pop-to-buffer-same-window buffer)))

;;;; Comparing

(defun runlog-run--difference (diff)
  "Spell the numbers in DIFF, an answer of the daemon."
  (if (eq (plist-get diff :equal) t)
      "They are the same."
    (string-join
     (delq nil
           (append
            (mapcar (pcase-lambda (`(,name ,key ,spell))
                      (let ((difference (runlog-client-get diff key :difference)))
                        (and difference (/= difference 0)
                             (format "%s %s%s" name (if (> difference 0) "+" "−")
                                     (funcall spell (abs difference))))))
                    '(("cost" :costUSD runlog-text-cost)
                      ("duration" :duration runlog-text-duration)
                      ("tokens" :totalTokens runlog-text-count)))
            (let ((a (runlog-client-get diff :stepCounts :onlyA))
                  (b (runlog-client-get diff :stepCounts :onlyB)))
              (and (> (+ a b) 0) (list (format "steps −%d +%d" a b))))))
     ", ")))

(defun runlog-run-compare (client a b)
  "Compare the run of summary B with that of A, both of CLIENT."
  (let* ((ids (lambda (summary)
                `(:projectId ,(plist-get summary :projectId)
                  :executionId ,(plist-get summary :id))))
         (read (lambda (summary done)
                 (runlog-client-request
                  client 'executions/get
                  `(,@(funcall ids summary) :maxBytes ,(runlog-run--piece 4))
                  (lambda (answer)
                    (let ((cuts (make-hash-table :test #'equal))
                          (runlog-run--final t))
                      (mapc (lambda (cut) (puthash (plist-get cut :pointer) cut cuts))
                            (plist-get answer :cut))
                      (funcall done
                               (runlog-run--text summary (plist-get answer :execution)
                                                 cuts))))))))
    (runlog-client-request
     client 'executions/diff `(:a ,(funcall ids a) :b ,(funcall ids b))
     (lambda (diff)
       (funcall read a
                (lambda (lines-a)
                  (funcall read b
                           (lambda (lines-b)
                             (runlog-run--show-diff a lines-a b lines-b
                                                    (runlog-run--difference diff))))))))))

(defun runlog-run--show-diff (a lines-a b lines-b numbers)
  "Show how LINES-B of B differ from LINES-A of A, and NUMBERS."
  (let ((old (generate-new-buffer " *runlog a*"))
        (new (generate-new-buffer " *runlog b*"))
        (buffer (get-buffer-create "*runlog diff*")))
    (unwind-protect
        (progn
          (cl-loop for (target . lines) in (list (cons old lines-a) (cons new lines-b))
                   do (with-current-buffer target
                        (dolist (line lines)
                          (insert (substring-no-properties (cdr line)) "\n"))))
          (diff-no-select old new '("-U5") t buffer)
          (with-current-buffer buffer
            (let ((inhibit-read-only t))
              (goto-char (point-min))
              (when (re-search-forward "^@@" nil t)
                (delete-region (point-min) (line-beginning-position)))
              (goto-char (point-min))
              (insert (format "%s\n--- %s\n+++ %s\n" numbers
                              (runlog-text-line (runlog-list--key a))
                              (runlog-text-line (runlog-list--key b))))
              (goto-char (point-min)))
            (diff-mode)
            (setq buffer-read-only t)
            (use-local-map (make-composed-keymap
                            (let ((map (make-sparse-keymap)))
                              (define-key map "q" #'quit-window)
                              map)
                            (current-local-map)))))
      (kill-buffer old)
      (kill-buffer new))
    (pop-to-buffer buffer)))

(provide 'runlog-run)
;;; runlog-run.el ends here
