"""The dashboard: pages for the people who run Payflow. They work without a script; with one they are live."""
