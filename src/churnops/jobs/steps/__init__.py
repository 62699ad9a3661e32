"""The steps of `churnops run`, in the order it takes them; each leaves a folder that a later run can keep."""
