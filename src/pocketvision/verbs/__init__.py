"""The verbs: one public function a file, of the file's name, with the options of a record of `settings.verbs`."""
