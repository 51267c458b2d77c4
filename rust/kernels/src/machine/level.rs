//! The instruction set this process may use, detected once, and how kernels are compiled for each set.
//!
//! A kernel is one safe `#[inline(always)]` body: the method [`Kernel::run`]. [`Level::run`] compiles that body again
//! inside a wrapper for each instruction set (`#[target_feature]`), where the compiler turns its loops over 16 numbers
//! into that set's vectors. What the compiler does not find by itself belongs to an [`Arithmetic`]. Calling a wrapper
//! is `unsafe`, and a [`Level`] is the proof that makes it sound: only [`detect`] and [`available`] make one, after
//! asking the CPU. A level's intrinsics are `unsafe` too, and reached only from its wrapper.
//!
//! `CHAINRULE_SIMD=portable|avx2|avx512|neon` forces a level. Levels with fused multiply-add (all but `portable`) round
//! alike, so a kernel that adds in the same order gives the same bits on each; `portable` rounds twice where they round
//! once.

use crate::dense::padded::LANES;
use crate::{Float, KernelError};
use std::sync::OnceLock;

/// Proof that this CPU has an instruction set. The field is private: see the module documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// Operations that need an instruction set's own instruction, which portable Rust does not compile to.
pub trait Arithmetic: Copy {
    /// Bytes of running sums that a kernel may keep at once: half of the registers, so that the other half holds the
    /// operands.
    const SUMS: usize;

    /// `a * b + c`. On a CPU without the instruction, `f32::mul_add` would be a library call.
    fn mul_add<T: Float>(self, a: T, b: T, c: T) -> T;

    /// `sum ← sum + a · x`, on sixteen numbers.
    #[inline(always)]
    fn add_scaled<T: Float>(self, sum: &mut [T; LANES], a: T, x: &[T; LANES]) {
        sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum = self.mul_add(a, x, *sum));
    }

    /// `sum ← sum + x · y`, number by number.
    #[inline(always)]
    fn add_products<T: Float>(self, sum: &mut [T; LANES], x: &[T; LANES], y: &[T; LANES]) {
        sum.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (&x, &y))| *sum = self.mul_add(x, y, *sum));
    }

    /// Swap, in every group of 2·`S` places, the second `S` numbers of `upper` with the first `S` of `lower`.
    #[inline(always)]
    fn exchange<T: Float, const S: usize>(self, upper: &mut [T; LANES], lower: &mut [T; LANES]) {
        let (before, behind) = (*upper, *lower);
        *upper = std::array::from_fn(|j| if j & S == 0 { before[j] } else { behind[j - S] });
        *lower = std::array::from_fn(|j| if j & S == 0 { before[j + S] } else { behind[j] });
    }

    /// Bit i is set if `words[i]` is not zero.
    #[inline(always)]
    fn nonzero(self, words: [u64; 8]) -> u8 {
        let bytes = words.map(|word| u8::from(word != 0));
        // The product gathers the lowest bits of eight bytes in its highest byte.
        (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
    }
}

/// Multiply-add with two roundings.
#[derive(Clone, Copy)]
struct Separate;

impl Arithmetic for Separate {
    const SUMS: usize = 128; // of SSE's 16 registers of 16 bytes

    #[inline(always)]
    fn mul_add<T: Float>(self, a: T, b: T, c: T) -> T {
        a * b + c
    }
}

/// A level whose multiply-add rounds once: its name, its bytes of sums, and its own methods.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! fused {
    ($name:ident, $sums:expr, $($own:tt)*) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl Arithmetic for $name {
            const SUMS: usize = $sums;

            #[inline(always)]
            fn mul_add<T: Float>(self, a: T, b: T, c: T) -> T {
                a.mul_add(b, c)
            }

            $($own)*
        }
    };
}

/// `add_scaled` and `add_products`, one register at a time. The compiler makes the same of a single loop over sixteen
/// numbers, but in a block of many sums it leaves the loops and keeps the sums in memory. For each type: how many
/// numbers a register holds, and the intrinsics to broadcast, load, store, and multiply and add.
#[cfg(target_arch = "x86_64")]
macro_rules! in_registers {
    ($($t:ident: $in_a_register:literal $fill:ident $load:ident $store:ident $multiply_add:ident),*) => {
        #[inline(always)]
        fn add_scaled<T: Float>(self, sum: &mut [T; LANES], a: T, x: &[T; LANES]) {
            use std::arch::x86_64::{$($fill, $load, $store, $multiply_add),*};
            $(if size_of::<T>() == size_of::<$t>() {
                // SAFETY: a level runs only where its instructions exist. `T` is `f32` or `f64`, and its size is that
                // of `$t`. Each register is part of sixteen numbers.
                unsafe {
                    let a = $fill(std::mem::transmute_copy(&a));
                    for start in (0..LANES).step_by($in_a_register) {
                        let sum = std::ptr::from_mut(sum).cast::<$t>().add(start);
                        let x = $load(std::ptr::from_ref(x).cast::<$t>().add(start));
                        $store(sum, $multiply_add(a, x, $load(sum)));
                    }
                }
            })*
        }

        #[inline(always)]
        fn add_products<T: Float>(self, sum: &mut [T; LANES], x: &[T; LANES], y: &[T; LANES]) {
            use std::arch::x86_64::{$($load, $store, $multiply_add),*};
            $(if size_of::<T>() == size_of::<$t>() {
                // SAFETY: as above.
                unsafe {
                    for start in (0..LANES).step_by($in_a_register) {
                        let sum = std::ptr::from_mut(sum).cast::<$t>().add(start);
                        let x = $load(std::ptr::from_ref(x).cast::<$t>().add(start));
                        let y = $load(std::ptr::from_ref(y).cast::<$t>().add(start));
                        $store(sum, $multiply_add(y, x, $load(sum)));
                    }
                }
            })*
        }
    };
}

#[cfg(target_arch = "aarch64")]
fused!(Neon, 256,); // of 32 registers of 16 bytes
#[cfg(target_arch = "x86_64")]
fused!(
    Avx2,
    256, // of 16 registers of 32 bytes
    in_registers!(
        f32: 8 _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps,
        f64: 4 _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_fmadd_pd
    );

    #[inline(always)]
    fn nonzero(self, words: [u64; 8]) -> u8 {
        use std::arch::x86_64::{
            __m256i, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_movemask_pd, _mm256_setzero_si256,
        };
        // SAFETY: only `avx2` makes an `Avx2`, and it runs only where there is AVX2. Any eight words are two vectors.
        unsafe {
            let [low, high] = std::mem::transmute::<[u64; 8], [__m256i; 2]>(words);
            let zero = _mm256_setzero_si256();
            let low = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(low, zero)));
            let high = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(high, zero)));
            !(low | high << 4) as u8
        }
    }
);
#[cfg(target_arch = "x86_64")]
fused!(
    Avx512,
    1024, // of 32 registers of 64 bytes
    in_registers!(
        f32: 16 _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps,
        f64: 8 _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_fmadd_pd
    );

    /// Two instructions in f32; the compiler's code for the arrays moves number by number.
    #[inline(always)]
    fn exchange<T: Float, const S: usize>(self, upper: &mut [T; LANES], lower: &mut [T; LANES]) {
        use std::arch::x86_64::{_mm512_loadu_epi32, _mm512_loadu_ps, _mm512_permutex2var_ps, _mm512_storeu_ps};
        if size_of::<T>() != size_of::<f32>() {
            return Separate.exchange::<T, S>(upper, lower);
        }
        // For each place, the index of its number among sixteen and sixteen more.
        let of_upper: [i32; LANES] = std::array::from_fn(|j| if j & S == 0 { j } else { LANES + j - S } as i32);
        let of_lower: [i32; LANES] = std::array::from_fn(|j| if j & S == 0 { j + S } else { LANES + j } as i32);
        // SAFETY: as below; `T` has the size of `f32`, so it is `f32`, and all are sixteen numbers.
        unsafe {
            let (of_upper, of_lower) = (_mm512_loadu_epi32(of_upper.as_ptr()), _mm512_loadu_epi32(of_lower.as_ptr()));
            let (upper, lower) = (std::ptr::from_mut(upper).cast::<f32>(), std::ptr::from_mut(lower).cast::<f32>());
            let (before, behind) = (_mm512_loadu_ps(upper), _mm512_loadu_ps(lower));
            _mm512_storeu_ps(upper, _mm512_permutex2var_ps(before, of_upper, behind));
            _mm512_storeu_ps(lower, _mm512_permutex2var_ps(before, of_lower, behind));
        }
    }

    #[inline(always)]
    fn nonzero(self, words: [u64; 8]) -> u8 {
        // SAFETY: only `avx512` makes an `Avx512`, and it runs only where there is AVX-512F. Any eight words are a
        // vector.
        unsafe {
            let words = std::mem::transmute::<[u64; 8], std::arch::x86_64::__m512i>(words);
            std::arch::x86_64::_mm512_test_epi64_mask(words, words)
        }
    }
);

/// A loop nest worth compiling for each instruction set. `run` must be `#[inline(always)]`, or it is compiled only
/// once.
pub trait Kernel {
    /// The result.
    type Output;
    /// The body.
    fn run(self, arithmetic: impl Arithmetic) -> Self::Output;
}

impl Level {
    /// Run `kernel` with this level's instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Portable => kernel.run(Separate),
            // SAFETY: a `Level` with this set is made only after the CPU was found to have all of its features.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512(kernel) },
            // Part of every aarch64 CPU, so enabled by default.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => kernel.run(Neon),
        }
    }

    /// Whether a multiply-add rounds once: at every level but "portable".
    pub(crate) fn is_fused(self) -> bool {
        self.0 != Set::Portable
    }

    /// "portable", "avx2", "avx512" or "neon".
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512)
}

/// Prefetch `numbers`: the hardware cannot predict rows drawn at random.
#[inline(always)]
pub(crate) fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        use std::ptr::from_ref;
        const LINE: usize = 64;
        // Every cache line holds one of these numbers, or starts before the first or ends after the last.
        let in_each_line = numbers.iter().step_by((LINE / size_of::<T>().max(1)).max(1));
        for number in in_each_line.chain(numbers.last()) {
            // SAFETY: SSE is part of every x86-64 CPU, and a prefetch reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from_ref(number).cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}

/// Every level of this CPU, lowest first. The tests run each kernel on all of them.
pub fn available() -> &'static [Level] {
    static FOUND: OnceLock<Vec<Level>> = OnceLock::new();
    FOUND.get_or_init(|| {
        #[allow(unused_mut)] // not mutated on other CPUs
        let mut levels = vec![Level(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            if has_avx2 {
                levels.push(Level(Set::Avx2));
            }
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if has_avx2 && has_avx512 {
                levels.push(Level(Set::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        levels.push(Level(Set::Neon));
        levels
    })
}

/// The level in use: the highest, or the one that `CHAINRULE_SIMD` names.
///
/// # Errors
///
/// [`KernelError::Level`] if this CPU does not have that one.
pub fn detect() -> Result<Level, KernelError> {
    static FOUND: OnceLock<Result<Level, KernelError>> = OnceLock::new();
    FOUND.get_or_init(|| choose(std::env::var("CHAINRULE_SIMD").ok().as_deref())).clone()
}

fn choose(asked: Option<&str>) -> Result<Level, KernelError> {
    let highest = available()[available().len() - 1];
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(highest) };
    let found = available().iter().find(|level| level.name() == asked);
    found.copied().ok_or_else(|| KernelError::Level { asked: asked.to_owned(), highest: highest.name() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f32]);

    impl Kernel for Sum<'_> {
        type Output = f32;
        #[inline(always)]
        fn run(self, arithmetic: impl Arithmetic) -> f32 {
            self.0.iter().fold(0.0, |sum, &x| arithmetic.mul_add(x, 2.0, sum))
        }
    }

    #[test]
    fn every_level_runs_a_kernel() {
        for level in available() {
            assert_eq!(level.run(Sum(&[1.0, 2.0, 3.0])), 12.0, "{}", level.name());
        }
    }

    struct Nonzero([u64; 8]);

    impl Kernel for Nonzero {
        type Output = u8;
        #[inline(always)]
        fn run(self, arithmetic: impl Arithmetic) -> u8 {
            arithmetic.nonzero(self.0)
        }
    }

    #[test]
    fn every_level_sees_which_words_are_zero() {
        for (level, byte) in available().iter().flat_map(|level| (0..=255).map(move |byte| (level, byte))) {
            // A single bit, a different one each time: the highest of a word, the lowest, and bits of both halves.
            for bit in 0..64 {
                let words = std::array::from_fn(|i| u64::from(byte >> i & 1) << ((bit + 11 * i) % 64));
                assert_eq!(level.run(Nonzero(words)), byte, "{}, bit {bit}", level.name());
            }
        }
    }

    #[test]
    fn a_level_can_be_asked_for_by_name() {
        for &level in available() {
            assert_eq!(choose(Some(level.name())), Ok(level));
        }
        assert_eq!(choose(None), choose(Some("")));
        assert_eq!(choose(None), Ok(available()[available().len() - 1]));
    }

    #[test]
    fn a_level_the_cpu_lacks_is_refused_with_the_highest_it_has() {
        let error = choose(Some("avx1024")).unwrap_err().to_string();
        let highest = available()[available().len() - 1].name();
        assert_eq!(
            error,
            format!("CHAINRULE_SIMD asks for avx1024, which this CPU does not have; the highest is {highest}")
        );
    }
}
