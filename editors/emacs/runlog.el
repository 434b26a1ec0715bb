;;; runlog.el --- The run history of AI-agent workflows, live  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The runlog authors

;; Author: The runlog authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.2"))
;; Keywords: tools, processes
;; SPDX-License-Identifier: MIT OR Apache-2.0

;;; Commentary:

;; M-x runlog lists the runs that a workflow engine saves as
;; projects/{project}/executions/{id}.json, newest first, and follows them.
;; It asks the daemon `runlog serve --shared', which all windows and the command
;; line share; filters, searches and sums are the daemon's.
;;
;; M-x runlog-today-mode shows today's cost in the mode line.

;;; Code:

(require 'cl-lib)
(require 'runlog-client)
(require 'runlog-list)
(require 'runlog-run)
(require 'runlog-today)
(require 'runlog-text)

(defun runlog-roots (folder chosen)
  "Return clients of the roots that the program has for FOLDER.
If it was CHOSEN by somebody, it is the root itself where it holds none."
  (when (file-remote-p folder)
    (user-error "Runs are listed where they are: log in to that machine and run Emacs there"))
  (let* ((folder (directory-file-name (expand-file-name folder)))
         (program (executable-find runlog-command))
         (default-directory (file-name-as-directory folder))
         (found
          (and program
               (with-temp-buffer
                 (let ((status (call-process program nil '(t nil) nil "root" "--json")))
                   (goto-char (point-min))
                   (or (ignore-errors
                         (json-parse-buffer :object-type 'plist :array-type 'list
                                            :null-object nil :false-object nil))
                       (user-error "%s does not say which folder it serves (status %s): %s"
                                   program status (string-trim (buffer-string))))))))
         (client (lambda (root given &optional tried)
                   (runlog-client-of root :folder folder :given given :tried tried)))
         (root (plist-get found :root)))
    (cond
     ((not found)
      (list (funcall client (expand-file-name "projects" folder) nil)))
     ((and root (or (plist-get found :exists) (not chosen)))
      (list (funcall client root (plist-get found :exists) (plist-get found :tried))))
     (root (list (funcall client folder t)))
     (t (mapcar (lambda (root) (funcall client root t)) (plist-get found :candidates))))))

(defun runlog--show (roots)
  "Show the list of one of ROOTS, clients; with several, ask which."
  (let ((buffer
         (runlog-list-buffer
          (if (not (cdr roots))
              (car roots)
            (let ((root (completing-read "Which runs? "
                                         (mapcar #'runlog-client-root roots) nil t)))
              (cl-find root roots :key #'runlog-client-root :test #'equal))))))
    ;; those that were not chosen are not needed
    (setq runlog-client--all
          (cl-remove-if (lambda (client) (zerop (runlog-client-users client)))
                        runlog-client--all))
    (pop-to-buffer-same-window buffer)))

;;;###autoload
(defun runlog (&optional folder)
  "Open the list of FOLDER, by default the current one.
With a prefix argument, ask for the folder.  Where several could be
meant, ask which."
  (interactive (list (and current-prefix-arg (read-directory-name "Folder: "))))
  (runlog--show (runlog-roots (or folder default-directory) (and folder t))))

(defun runlog-choose (folder)
  "Open the list of FOLDER, another one."
  (interactive (list (read-directory-name "Folder: " nil nil t)))
  (runlog folder))

(provide 'runlog)
;;; runlog.el ends here
