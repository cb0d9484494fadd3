//! Does the page hold what it must, and nothing that it must not?
