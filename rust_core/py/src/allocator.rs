//! The allocator of the extension: mimalloc. Entries come and go with every write, and the system's allocator spends more on
//! them than everything else in a write.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys as mi;

/// mimalloc, asked for an alignment only where its blocks do not have it anyway: whatever it is asked to align it searches a
/// larger block for, unless the size is a power of two (its issue 889; 192 bytes for 160).
pub struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Blocks are multiples of 16, and those of at most 16 bytes are powers of two; pages begin at multiples of 16.
const BLOCK_ALIGN: usize = 16;

#[inline]
fn is_aligned_anyway(align: usize, size: usize) -> bool {
    align <= BLOCK_ALIGN && size >= align && size.is_multiple_of(align)
}

// SAFETY: each function hands on to the one of mimalloc that does what the trait asks for.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size and power of two are fine.
        unsafe { if is_aligned_anyway(align, size) { mi::mi_malloc(size) } else { mi::mi_malloc_aligned(size, align) } }
            .cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        unsafe { if is_aligned_anyway(align, size) { mi::mi_zalloc(size) } else { mi::mi_zalloc_aligned(size, align) } }
            .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, _: Layout) {
        // SAFETY: the caller's promise: it came from here.
        unsafe { mi::mi_free(place.cast::<c_void>()) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (place, align) = (place.cast::<c_void>(), layout.align());
        // SAFETY: the caller's promise: it came from here.
        unsafe {
            if is_aligned_anyway(align, size) {
                mi::mi_realloc(place, size)
            } else {
                mi::mi_realloc_aligned(place, size, align)
            }
        }
        .cast()
    }
}
