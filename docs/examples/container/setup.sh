# In the container, before each task.
export LC_ALL=C
