"""One change of many members at once: frozen list, preview, progress, result by person, undo."""
