"""Operations with a form of their own for one platform, each equal to its plain form."""
