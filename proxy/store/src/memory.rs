//! The allocator's size classes, as arithmetic: what an allocation of n bytes really costs.
//!
//! Layout choices (inline or separate) and the running sum of used bytes both ask here, so they need no call into
//! the allocator. The classes are jemalloc's with its default 16-byte quantum.

/// Bytes that an allocation of `bytes` occupies; 0 for 0.
#[inline]
pub fn size_class(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => (bytes + 15) & !15,
        // Four classes a doubling.
        _ => {
            let step = (bytes - 1).ilog2() - 2;
            let mask = (1usize << step) - 1;
            bytes.saturating_add(mask) & !mask
        }
    }
}

#[cfg(test)]
mod tests {
    //! The borders of jemalloc's documented classes.
    use super::size_class;

    #[test]
    fn known_classes() {
        let expected = [
            (0, 0),
            (1, 8),
            (8, 8),
            (9, 16),
            (16, 16),
            (17, 32),
            (33, 48),
            (48, 48),
            (112, 112),
            (113, 128),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (224, 224),
            (225, 256),
            (256, 256),
            (257, 320),
            (320, 320),
            (321, 384),
            (512, 512),
            (513, 640),
            (1024, 1024),
            (1025, 1280),
            (1280, 1280),
            (14337, 16384),
            (16385, 20480),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, 5 << 18),
        ];
        for (bytes, class) in expected {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
        for bytes in 1..100_000 {
            assert!(size_class(bytes) >= bytes && size_class(size_class(bytes)) == size_class(bytes));
        }
    }
}
