//! Rules of the tree as tests: layering, file sizes, docs.
