//! Choosing between the two types computed in, f32 and f64.

use chainrule_kernels::Float;
use numpy::Element;

/// A generic type, such as `Trainer<T>`, named without its parameter.
pub(crate) trait Made {
    /// The type with its parameter.
    type For<T: Float>;
}

/// A value of that type, for f32 or f64.
pub(crate) enum Either<M: Made> {
    Single(M::For<f32>),
    Double(M::For<f64>),
}

/// A type computed in.
pub(crate) trait Dtype: Float + Element {
    /// The value, if it is for this type.
    fn get<M: Made>(either: &Either<M>) -> Option<&M::For<Self>>;
    /// The same, mutable.
    fn get_mut<M: Made>(either: &mut Either<M>) -> Option<&mut M::For<Self>>;
    /// Wrap a value for this type.
    fn either<M: Made>(made: M::For<Self>) -> Either<M>;
    /// The one of the two that is for this type.
    fn choose<'a, M: Made>(single: &'a M::For<f32>, double: &'a M::For<f64>) -> &'a M::For<Self>;
}

macro_rules! dtype {
    ($t:ty, $which:ident, ($single:ident, $double:ident) => $chosen:ident) => {
        impl Dtype for $t {
            fn get<M: Made>(either: &Either<M>) -> Option<&M::For<Self>> {
                match either {
                    Either::$which(made) => Some(made),
                    _ => None,
                }
            }
            fn get_mut<M: Made>(either: &mut Either<M>) -> Option<&mut M::For<Self>> {
                match either {
                    Either::$which(made) => Some(made),
                    _ => None,
                }
            }
            fn either<M: Made>(made: M::For<Self>) -> Either<M> {
                Either::$which(made)
            }
            fn choose<'a, M: Made>($single: &'a M::For<f32>, $double: &'a M::For<f64>) -> &'a M::For<Self> {
                $chosen
            }
        }
    };
}
dtype!(f32, Single, (single, _double) => single);
dtype!(f64, Double, (_single, double) => double);

/// The body, with `$made` bound to the value inside and `$T` standing for its type.
macro_rules! either {
    ($either:expr, $T:ident, $made:pat => $body:expr) => {
        match $either {
            $crate::dtype::Either::Single($made) => {
                #[allow(dead_code)]
                type $T = f32;
                $body
            }
            $crate::dtype::Either::Double($made) => {
                #[allow(dead_code)]
                type $T = f64;
                $body
            }
        }
    };
}
pub(crate) use either;
