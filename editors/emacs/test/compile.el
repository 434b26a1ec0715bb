;;; compile.el --- Byte-compile and checkdoc, where every warning counts  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run in batch with the folder of the package as the current one.

;;; Code:

(require 'checkdoc)

(let ((failed nil)
      (files (directory-files "." t "\\`runlog.*\\.el\\'")))
  (setq load-path (cons (expand-file-name ".") load-path))
    (dolist (file files)
      (with-current-buffer (get-buffer-create "*Compile-Log*")
        (let ((inhibit-read-only t))
          (erase-buffer)))
      (byte-compile-file file)
      (with-current-buffer "*Compile-Log*"
        (goto-char (point-min))
        (when (re-search-forward "Warning\\|Error" nil t)
          (setq failed t)
          (princ (format "FAILED byte-compile %s\n%s\n"
                         (file-name-nondirectory file) (buffer-string))))))
  (princ (format "%s byte-compiles without warnings\n" (if failed "FAILED" "ok    ")))
  (let ((checkdoc-diagnostic-buffer "*checkdoc*")
        (found ""))
    (dolist (file files)
      (with-current-buffer (find-file-noselect file)
        (let ((checkdoc-create-error-function
               (lambda (text start _end &optional _unfixable)
                 (setq found
                       (format "%s%s:%d: %s\n" found (file-name-nondirectory file)
                               (line-number-at-pos start) text))
                 nil)))
          (checkdoc-current-buffer t))))
    (princ (format "%s checkdoc is content\n%s" (if (string-empty-p found) "ok    " "FAILED") found))
    (unless (string-empty-p found)
      (setq failed t)))
  (kill-emacs (if failed 1 0)))

;;; compile.el ends here
