//! A task's panic is data: its message goes into the record, not onto the terminal.

use std::any::Any;
use std::sync::Once;

/// How the names of threads that run tasks begin.
pub(super) const TASK_THREADS: &str = "task-";

/// Makes panics of tasks silent; everybody else's are reported as before.
pub(super) fn keep_quiet_in_tasks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if !thread.name().is_some_and(|name| name.starts_with(TASK_THREADS)) {
                report(info);
            }
        }));
    });
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panicked without a message").to_owned()
}
