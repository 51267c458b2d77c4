use crate::machine::exp::Exp;
use crate::sparse::rows::Rows;
use ndarray::ArrayView2;

/// The two number types the kernels compute in.
pub trait Float: ndarray::NdFloat + Default + Exp {
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// The nearest value of this type.
    fn of_single(value: f32) -> Self;
    /// The same value: both types hold every byte exactly.
    fn of_byte(value: u8) -> Self;
    /// The same value, as an `f64`.
    fn wide(self) -> f64;
    /// The examples themselves, without a copy, if they are stored in this type.
    fn stored<'a>(rows: &Rows<'a>) -> Option<ArrayView2<'a, Self>>;
}

macro_rules! float {
    ($t:ty, $stored:ident) => {
        impl Float for $t {
            fn of(value: f64) -> Self {
                value as $t
            }
            fn of_single(value: f32) -> Self {
                value.into()
            }
            fn of_byte(value: u8) -> Self {
                value.into()
            }
            fn wide(self) -> f64 {
                self.into()
            }
            fn stored<'a>(rows: &Rows<'a>) -> Option<ArrayView2<'a, Self>> {
                match rows {
                    Rows::$stored(x) => Some(x.clone()),
                    _ => None,
                }
            }
        }
    };
}

float!(f32, Single);
float!(f64, Double);
