//! What the allocator does with memory that is not used any more.

use libmimalloc_sys::{mi_collect, mi_option_get, mi_option_set_default, mi_option_t};

/// For how many milliseconds mimalloc keeps what was freed, `mi_option_purge_delay` of its header, for
/// which the bindings have no name.
const PURGE_DELAY: mi_option_t = 15;

/// What that is unless somebody has set it.
const DEFAULT: std::ffi::c_long = 10;

/// Has the allocator give back what was freed, and from now on at once, unless the user has said when.
///
/// Jobs that are made and units that are looked through one by one, while compilers run, leave several
/// megabytes otherwise, which are kept until more is freed. A build that has nothing to compile ends sooner
/// with what it freed.
pub(super) fn give_back_at_once() {
    // SAFETY: options are numbers. The threads that looked into roots have ended, and those of jobs are
    // started later; one that writes a profile may read the number before or after. What it was shows
    // that it is that option's. Memory may be collected at any time.
    unsafe {
        if mi_option_get(PURGE_DELAY) == DEFAULT {
            mi_option_set_default(PURGE_DELAY, 0);
            mi_collect(true);
        }
    }
}
