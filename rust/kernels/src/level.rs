//! The instruction set this process may use, found once.

use std::sync::OnceLock;

/// The widest instruction set the kernels use on this CPU: "avx512", "avx2", "neon" or "portable".
///
/// It is the choice the `gemm` crate makes for itself, told in our words: 512-bit vectors where `avx512f` is there,
/// 256-bit fused multiply-adds where `fma` is.
pub fn detect() -> &'static str {
    static FOUND: OnceLock<&'static str> = OnceLock::new();
    FOUND.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return "avx512";
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return "avx2";
            }
        }
        if cfg!(target_arch = "aarch64") {
            return "neon";
        }
        "portable"
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_does_not_change() {
        assert_eq!(super::detect(), super::detect());
    }
}
