//! SIGTERM under load: what was answered is durable, what was not is told so.
