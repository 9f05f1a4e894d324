//! Keeps a thread from being starved, as far as the host permits.

use rustix::process::setpriority_process;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// The lowest of the real-time priorities is above everything that is not real-time.
const REAL_TIME: u8 = 1;
/// The highest of the others.
const NICEST: i32 = -20;

/// Raises the calling thread's priority; what came of it, for the status.
pub fn raise() -> String {
    let Ok(lowest) = ThreadPriorityValue::try_from(REAL_TIME) else { unreachable!("1 is a priority") };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let real_time =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(lowest), policy);
    let Err(error) = real_time else { return "in real time".into() };
    // For Linux, process 0 is the calling thread.
    if setpriority_process(None, NICEST).is_ok() {
        return format!("at nice {NICEST}: real time is not permitted ({error:?})");
    }
    format!(
        "at ordinary priority: real time is not permitted ({error:?}); `ulimit -r 1` or CAP_SYS_NICE permits it"
    )
}
